"""Folders and columns: no two names share one, and a plain name stays what it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.analytics.names import MAX_FOLDER, OTHER, column_name, folder_name
from headgate.lake.analytics_names import TableNames
from headgate.testing.memory_storage import MemoryStorage


@pytest.mark.parametrize(
    ("event_name", "folder"),
    [
        ("payment:order:completed", "payment_order_completed"),
        ("page_view:opened", "page__view_opened"),
        ("heartbeat", "heartbeat"),
        ("Payment:Done", "Payment_Done"),
    ],
)
def test_a_plain_name_reads_as_it_is(event_name, folder):
    assert folder_name(event_name, ()) == folder


@pytest.mark.parametrize("event_name", ["_other", "..", "a/b", "é", "a b", "x" * 256, "a%2Fb", "end."])
def test_an_odd_name_gets_a_digest_and_stays_in_its_folder(event_name):
    folder = folder_name(event_name, ())
    assert folder[0] not in "_."
    assert len(folder) <= MAX_FOLDER
    assert set(folder) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")
    assert folder[-9] == "-"


names = st.text(min_size=1, max_size=30) | st.text("aA_:b", min_size=1, max_size=4)


@given(st.lists(names, unique=True, max_size=30))
def test_no_two_event_names_share_a_folder(event_names):
    folders = TableNames(MemoryStorage(), 1000).settle(event_names)
    assert len({folder.casefold() for folder in folders.values()}) == len(event_names)


@given(st.lists(st.text(max_size=20) | st.sampled_from(["", "a", "A", "a.b", "a b", "a_b"]), unique=True, max_size=30))
def test_no_two_fields_share_a_column(fields):
    taken = set()
    for field in fields:
        column = column_name(field, taken)
        assert column.casefold() not in taken
        assert not set(column) & set(" ,;{}()\n\t=.")
        assert column
        taken.add(column.casefold())


def test_names_keep_their_folders_whoever_asks_later_in_whatever_order():
    storage = MemoryStorage()
    first = TableNames(storage, 1000).settle(["a:b", "A:b"])
    again = TableNames(storage, 1000).settle(["A:b", "c", "a:b"])
    assert again == {**first, "c": "c"}


def test_two_builds_at_once_agree():
    storage = MemoryStorage()
    one, other = TableNames(storage, 2), TableNames(storage, 2)
    one.settle(["payment", "page"])
    assert other.settle(["Payment", "payment"]) == one.settle(["Payment"])
    assert one.folders["Payment"] == OTHER


def test_beyond_the_limit_names_share_a_table_for_ever():
    storage = MemoryStorage()
    assert TableNames(storage, 1).settle(["a", "b", "c"]) == {"a": "a", "b": OTHER, "c": OTHER}
    assert TableNames(storage, 5).settle(["d", "b"])["b"] == OTHER
    assert TableNames(storage, 5).folders["d"] == "d"


def test_a_preview_writes_no_names():
    storage = MemoryStorage()
    assert TableNames(storage, 5).settle(["a"], is_written=False) == {"a": "a"}
    assert storage.files == {}
