"""Members rewritten in place: every byte but those of the named values stays, told by an independent slow reader."""

import hmac
import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.documents import is_whole
from headgate.core.envelope import Envelope
from headgate.core.members import FAST_LEVELS, Rewriter, text_of
from headgate.core.privacy import Privacy

KEY = b"0123456789abcdef0123456789abcdef"
PATHS = {"hash": ["user_id", "account.email", r"a\.b"], "mask": ["card.number", "é"], "drop": ["ip", "account.ip", "/"]}
PRIVACY = Privacy(hashed=PATHS["hash"], masked=PATHS["mask"], dropped=PATHS["drop"], key=KEY, envelope=Envelope())
ACTIONS = {
    ("user_id",): "hash",
    ("account", "email"): "hash",
    ("a.b",): "hash",
    ("card", "number"): "mask",
    ("é",): "mask",
    ("ip",): "drop",
    ("account", "ip"): "drop",
    ("/",): "drop",
}


class Slow:
    """Reads JSON character by character and gives the text back with the actions done."""

    def __init__(self, text):
        self.text, self.at = text, 0

    def space(self):
        start = self.at
        while self.at < len(self.text) and self.text[self.at] in " \t\r\n":
            self.at += 1
        return self.text[start : self.at]

    def string(self):
        start = self.at
        self.at += 1
        while self.text[self.at] != '"':
            self.at += 2 if self.text[self.at] == "\\" else 1
        self.at += 1
        return self.text[start : self.at]

    def value(self, path, action=None):
        """The new text of the value here; `path` leads to it, None where nothing below it is named."""
        start = self.text[self.at]
        if start == "[":
            whole = self.array(None if action == "mask" else path, action if action == "hash" else None)
            return '"***"' if action == "mask" else whole
        before = self.at
        if start == "{":
            new = self.object(None if action else path)
        elif start == '"':
            new = self.string()
        else:
            while self.at < len(self.text) and self.text[self.at] not in ",]} \t\r\n":
                self.at += 1
            new = self.text[before : self.at]
        return done(self.text[before : self.at], action) if action else new

    def array(self, path, action):
        out = self.text[self.at]
        self.at += 1
        out += self.space()
        while self.text[self.at] != "]":
            out += self.value(path, action) + self.space()
            if self.text[self.at] == ",":
                self.at += 1
                out += "," + self.space()
        self.at += 1
        return out + "]"

    def object(self, path):
        self.at += 1
        head = "{" + self.space()
        members = []  # text or None, and what stands behind it
        while self.text[self.at] != "}":
            name = self.string()
            middle = self.space() + ":"
            self.at += 1
            middle += self.space()
            below = None if path is None else (*path, json.loads(name))
            action = ACTIONS.get(below)
            value = self.value(below, action if action != "drop" else None)
            behind = self.space()
            if self.text[self.at] == ",":
                self.at += 1
                behind += "," + self.space()
            members.append((None if action == "drop" else name + middle + value, behind))
        self.at += 1
        kept = [member for member in members if member[0] is not None]
        if members and kept:
            kept[-1] = (kept[-1][0], members[-1][1])
        tail = members[-1][1] if members and not kept else ""
        return head + "".join(text + behind for text, behind in kept) + tail + "}"


def done(text, action):
    if action == "mask":
        return '"***"'
    said = json.loads(text) if text.startswith('"') else text
    if text == "null" or (text.startswith('"') and said.startswith("hmac-sha256:")):
        return text
    return f'"hmac-sha256:{hmac.new(KEY, said.encode(), "sha256").hexdigest()}"'


def slow(document):
    reader = Slow(document)
    lead = reader.space()
    return lead + reader.value(()) + reader.space()


NAMES = ["user_id", "account", "email", "ip", "card", "number", "é", "a.b", "/", "n", "Ip", 'q"\\']
spaces = st.sampled_from(["", "", "", " ", "\n\t ", "\r\n"])


@st.composite
def strings(draw, texts):
    """A JSON string in one of its spellings."""
    out = ""
    for c in draw(texts):
        how = draw(st.integers(0, 7))
        if how == 0 and ord(c) < 0x10000:
            out += f"\\u{ord(c):04{draw(st.sampled_from('xX'))}}"
        elif how == 1 and c == "/":
            out += "\\/"
        else:
            out += json.dumps(c, ensure_ascii=draw(st.booleans()))[1:-1]
    return f'"{out}"'


scalars = st.one_of(
    strings(st.text('ab{}[]:,"\\/é€😀\n 0', max_size=6)),
    strings(st.sampled_from([*NAMES, "hmac-sha256:" + "0" * 64])),
    st.sampled_from(["null", "true", "false", "0", "-1.5e+10", "123456789012345678901234567890"]),
)


@st.composite
def containers(draw, values):
    space = lambda: draw(spaces)  # noqa: E731
    if draw(st.booleans()):
        inner = [f"{space()}{value}{space()}" for value in draw(st.lists(values, max_size=4))]
        return f"[{','.join(inner)}]" if inner else f"[{space()}]"
    inner = [
        f"{space()}{draw(strings(st.sampled_from(NAMES)))}{space()}:{space()}{value}{space()}"
        for value in draw(st.lists(values, max_size=5))
    ]
    return f"{{{','.join(inner)}}}" if inner else f"{{{space()}}}"


documents = containers(st.recursive(scalars, containers, max_leaves=25))


@given(documents)
def test_only_what_is_named_changes(document):
    json.loads(document)
    text = document.encode()
    expected = slow(document).encode()
    found = PRIVACY.event(text)
    assert found.decode() == expected.decode()
    assert (found is text) == (expected == text)
    assert PRIVACY.reject(text) == expected
    assert PRIVACY.event(found) is found


@given(documents)
def test_a_text_that_is_no_candidate_has_nothing_to_be_done(document):
    text = document.encode()
    (is_candidate,) = PRIVACY.candidates(pa.array([text], pa.large_binary()))
    assert is_candidate or PRIVACY.event(text) is text


@given(st.one_of(st.binary(max_size=40), documents.map(str.encode)), st.data())
def test_rubbish_is_never_an_error(text, data):
    if text and data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(text) - 1))
        text = text[:at] + data.draw(st.binary(max_size=2)) + text[at + 1 :]
    found = PRIVACY.reject(text)
    assert found == text or (is_whole(text) and is_whole(found))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"ip":1}', "{}"),
        ('{ "ip" : 1 }', "{  }"),
        ('{"ip":1,"a":2}', '{"a":2}'),
        ('{"a":1, "ip":2, "b":3}', '{"a":1, "b":3}'),
        ('{"a":1 , "ip":2 }', '{"a":1 }'),
        ('{"a":1,"ip":2,"ip":3}', '{"a":1}'),
        ('{"ip":0,"a":1,"ip":[{"ip":2}],"ip":{}}', '{"a":1}'),
        ('{"account":{"ip":1},"ip":2}', '{"account":{}}'),
        ('{"account":[{"ip":1},[{"ip":2,"x":3}],4,[]]}', '{"account":[{},[{"x":3}],4,[]]}'),
        ('[{"ip":1},{"\\u0069\\u0070":1}]', "[{},{}]"),
        ('{"card":{"number":null}}', '{"card":{"number":"***"}}'),
        ('{"card":"1234"}', '{"card":"1234"}'),
        ('{"user_id":null,"user_ID":"ip"}', '{"user_id":null,"user_ID":"ip"}'),
        ('{"ip":1}\n{"ip":2,"a":1}', '{}\n{"a":1}'),
    ],
)
def test_examples(before, after):
    assert PRIVACY.reject(before.encode()).decode() == after


def hashed(document):
    return json.loads(PRIVACY.event(document.encode()))["user_id"]


def test_the_same_value_has_the_same_hash_however_it_is_spelled_and_wherever_it_stands():
    one = hashed('{"user_id":"é/1"}')
    assert one == "hmac-sha256:" + hmac.new(KEY, "é/1".encode(), "sha256").hexdigest()
    assert one == hashed('{"user_id":"\\u00e9\\/1"}')
    assert [one, None, [one]] == hashed('{"user_id":["é/1",null,["\\u00E9/1"]]}')
    assert one == json.loads(PRIVACY.event('{"account":{"email":"é/1"}}'.encode()))["account"]["email"]
    assert hashed('{"user_id":42}') == hashed('{"user_id":"42"}') != one


def test_a_text_of_any_depth_is_walked_without_recursion():
    depth = 100_000
    for opening, closing in ((b"[", b"]"), (b'{"n":', b"}")):
        deep = opening * depth + b'{"x":1}' + closing * depth
        assert PRIVACY.reject(b'{"n":' + deep + b',"ip":1}') == b'{"n":' + deep + b"}"
        assert PRIVACY.reject(b'{"card":{"number":' + deep + b"}}") == b'{"card":{"number":"***"}}'
    assert PRIVACY.reject(b"[" * depth + b'{"ip":1}' + b"]" * depth) == b"[" * depth + b"{}" + b"]" * depth


def test_values_of_every_depth_are_passed_over():
    for depth in range(1, 2 * FAST_LEVELS):
        inner = '{"b":[' * depth + '"}]"' + "]}" * depth
        assert PRIVACY.event(f'{{"n":{inner},"ip":{inner},"m":1}}'.encode()) == f'{{"n":{inner},"m":1}}'.encode()


def test_many_objects_in_a_long_text_are_walked_in_linear_time():
    many = 50_000
    text = b'{"account":[' + b",".join([b'{"a":"x","ip":1}'] * many) + b"]}"
    assert PRIVACY.event(text) == b'{"account":[' + b",".join([b'{"a":"x"}'] * many) + b"]}"


def test_a_lone_surrogate_is_read_as_it_stands():
    assert text_of(b'"\\ud800"') == b"\xed\xa0\x80"
    assert b"secret" not in PRIVACY.reject(b'{"user_id":"secret\\ud800","x":"\xff"}')


def test_a_path_through_a_value_that_is_no_object_leads_nowhere():
    rewrite = Rewriter({("a", "b"): None})
    for text in (b'{"a":1}', b'{"a":"b"}', b'{"a":[1,"b",null]}', b'{"b":1}'):
        assert rewrite(text) is text
