"""Fields that are looked for: which paths are none, and that nothing that is counted stops the flow."""

import numpy as np
import pyarrow as pa
import pytest

from headgate.core.decoded import DECODED
from headgate.core.envelope import Envelope
from headgate.core.missing import PREFIX, Fields
from headgate.errors import ConfigError


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["a", "b", "a"], "'a' is given twice"),
        (["created_at"], "'created_at' is a common field, which is always counted"),
        (["a..b"], "'a..b' is no path"),
        ([".a"], "'.a' is no path"),
        ([""], "'' is no path"),
    ],
)
def test_a_path_that_is_none_is_refused(paths, said):
    with pytest.raises(ConfigError) as error:
        Fields(paths, Envelope())
    assert f"[quality] fields: {said}" in str(error.value)


def parts(*payloads, raws=(), reasons=()):
    n = len(payloads)
    given = {"payload": list(payloads), "raw": [*raws] or [None] * n, "reason": [*reasons] or [None] * n}
    return pa.table({f.name: pa.array(given.get(f.name, [None] * n), f.type) for f in DECODED}, schema=DECODED)


def found(table, name):
    return table[PREFIX + name].to_pylist()


def test_what_no_json_reader_takes_lacks_everything_and_raises_nothing():
    looked = Fields(["a"], Envelope()).look(parts(b'{"a":1}', b'{"a":\xff}', b"{"))
    assert found(looked, "a") == [False, True, True]


def test_of_a_reject_of_the_decoder_its_own_bytes_are_looked_at():
    raws = [b'{"event_name":{},"event_uuid":"1"}', b"\x1f\x8b", None]
    table = parts(b"\x1f\x8b", b"\x1f\x8b", b"{}", raws=raws, reasons=["event_name_invalid", "malformed_json", None])
    looked = Fields(["a"], Envelope()).look(table)
    assert found(looked, "event_uuid") == [False, None, True]
    assert found(looked, "event_name") == [False, None, True]
    assert found(looked, "created_at") == [True, None, True]
    assert found(looked, "a") == [None, None, True]


def test_columns_are_added_in_their_order_and_nothing_else_changes():
    table = parts(b"{}", b"{}")
    looked = Fields(["b", "a"], Envelope()).look(table)
    names = [PREFIX + name for name in ("event_uuid", "event_name", "created_at", "b", "a")]
    assert looked.column_names == [*DECODED.names, *names]
    assert looked.select(DECODED.names).equals(table)
    assert np.asarray(looked[PREFIX + "a"]).tolist() == [True, True]
