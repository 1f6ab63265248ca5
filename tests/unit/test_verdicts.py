"""The rows of the tables."""

from headgate.core.schema import EVENTS
from headgate.core.verdicts import EVENT_COLUMNS


def test_every_column_of_events_has_its_origin():
    assert list(EVENT_COLUMNS) == EVENTS.names
