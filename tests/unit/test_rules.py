"""User rules: when they are broken, in which order, and what they cannot do."""

import pyarrow as pa
import pytest

from headgate.core.rules import RULE_COLUMNS, Rule, Rules, first_broken
from headgate.errors import ConfigError


def events(*payloads):
    n = len(payloads)
    given = {"payload": list(payloads), "event_type": ["a"] * n, "created_at": [0.0] * n}
    columns = [pa.array(given.get(f.name, [None] * n), f.type) for f in RULE_COLUMNS]
    return pa.Table.from_arrays(columns, schema=RULE_COLUMNS)


def broken(rules, *payloads):
    return first_broken(Rules([Rule(**rule) for rule in rules]).judge(events(*payloads))).to_pylist()


AMOUNT = {"name": "amount", "check": "(payload->>'amount')::int > 0"}


def test_a_check_that_is_not_true_breaks_the_rule():
    assert broken([AMOUNT], '{"amount":1}', '{"amount":0}') == [None, "rule:amount"]


def test_null_and_errors_are_not_true():
    assert broken([AMOUNT], "{}", '{"amount":"x"}', '{"amount":null}') == ["rule:amount"] * 3


def test_a_rule_is_for_the_events_of_its_when():
    rule = AMOUNT | {"when": "(payload->>'paid')::boolean"}
    payloads = ['{"paid":true}', '{"paid":false}', "{}", '{"paid":"perhaps"}', '{"paid":true,"amount":1}']
    assert broken([rule], *payloads) == ["rule:amount", None, None, None, None]


def test_the_first_broken_rule_in_order_is_the_reason():
    other = {"name": "other", "check": "payload->>'x' = 'y'"}
    payloads = ["{}", '{"amount":1}', '{"amount":1,"x":"y"}', '{"x":"y"}']
    assert broken([AMOUNT, other], *payloads) == ["rule:amount", "rule:other", None, "rule:amount"]
    assert broken([other, AMOUNT], *payloads) == ["rule:other", "rule:other", None, "rule:amount"]


def test_the_order_of_rows_is_kept():
    payloads = [f'{{"amount":{i % 2}}}' for i in range(5_000)]
    assert broken([AMOUNT], *payloads) == ["rule:amount", None] * 2_500


def test_comments_and_line_ends_stay_inside_a_rule():
    assert broken([{"name": "r", "check": "true -- always"}, AMOUNT], "{}") == ["rule:amount"]


def test_no_events_and_no_rules():
    assert broken([AMOUNT]) == []
    assert not Rules([])


@pytest.mark.parametrize("field", ["check", "when"])
@pytest.mark.parametrize("sql", ["no_such_column = 1", "1 +", "payload = (", "sum(created_at) > 1"])
def test_what_is_no_predicate_is_a_configuration_error_that_names_the_rule(field, sql):
    with pytest.raises(ConfigError, match="mine") as caught:
        Rules([Rule(**({"name": "mine", "check": "true"} | {field: sql}))])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "sql",
    [
        "exists (from read_text('{path}'))",
        "(select count(*) from read_csv('{path}')) > 0",
        "exists (from '{path}')",
        "exists (from glob('{path}'))",
    ],
)
def test_a_rule_cannot_read_files(tmp_path, sql):
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    with pytest.raises(ConfigError):
        Rules([Rule(name="spy", check=sql.format(path=secret))])


def test_a_rule_cannot_write_files(tmp_path):
    with pytest.raises(ConfigError):
        Rules([Rule(name="spy", check=f"true); copy (select 1) to '{tmp_path}/out.csv'; select (true")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "check", ["now() > created_datetime", "created_date <= CURRENT_DATE", "today() = created_date"]
)
def test_a_rule_that_asks_the_clock_is_refused(check):
    with pytest.raises(ConfigError, match="depend on when it is asked"):
        Rules([Rule(name="clock", check=check)])
