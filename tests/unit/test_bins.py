"""Which files are joined: by partition, closed ones first, none again and again."""

from hypothesis import given
from hypothesis import strategies as st

from headgate.lake.bins import plan
from headgate.lake.live import LiveFile

TARGET, TODAY = 1_000, "2026-11-20"


def file(number: int, size: int, day: str | None = "2026-11-19", kind: str | None = "a") -> LiveFile:
    name = f"{number:04d}.parquet"
    return LiveFile(name, f"events/{name}", (("event_type", kind), ("created_date", day)), size, 1, number)


def sizes(files: list[LiveFile]) -> list[list[int]]:
    return [[f.size for f in b.files] for b in plan(files, TARGET, TODAY)]


def test_small_files_of_a_partition_are_joined_in_the_order_in_which_they_were_written():
    assert sizes([file(2, 30), file(1, 10), file(3, 20)]) == [[10, 30, 20]]


def test_one_file_and_large_files_are_left_alone():
    assert sizes([file(1, 10), file(2, TARGET), file(3, TARGET + 1)]) == []


def test_partitions_are_never_mixed():
    assert sizes([file(1, 1), file(2, 1, kind="b"), file(3, 1, kind=None), file(4, 1, day="2026-11-18")]) == []


def test_closed_partitions_come_first_and_tables_without_a_date_are_never_closed():
    days = ["2026-11-20", "2026-11-19", "2026-11-21", None]
    found = plan([file(10 * d + i, 5, day) for d, day in enumerate(days) for i in range(2)], TARGET, TODAY)
    assert [b.is_open for b in found] == [False, True, True, True]
    assert dict(found[0].files[0].partition)["created_date"] == "2026-11-19"
    bare = [LiveFile(str(i), f"quality/{i}", (), 5, 1, i) for i in range(2)]
    assert [b.is_open for b in plan(bare, TARGET, TODAY)] == [True]


def test_a_large_file_waits_until_the_small_ones_amount_to_a_quarter_of_it():
    assert sizes([file(0, 900), file(1, 10), file(2, 10)]) == [[10, 10]]
    assert sizes([file(0, 900), *(file(i, 10) for i in range(1, 24))]) == [[900, *[10] * 23]]
    assert sizes([file(0, 1), *(file(i, 100) for i in range(1, 4))]) == [[1, 100, 100, 100]]


@given(st.lists(st.integers(1, 2 * TARGET), max_size=40))
def test_what_was_joined_is_not_joined_again(found: list[int]):
    files = [file(i, size) for i, size in enumerate(found)]
    for b in plan(files, TARGET, TODAY):
        left = [f for f in files if f not in b.files]
        made: list[int] = [0]
        for part in b.files:  # as `join` does: a file is full at the target
            if made[-1] >= TARGET:
                made.append(0)
            made[-1] += part.size
        assert sizes([*left, *(file(100 + i, size) for i, size in enumerate(made))]) == []
