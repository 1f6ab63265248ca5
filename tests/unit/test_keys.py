"""Keys: the same text or the same UUID, and nothing else."""

import hashlib
import re
import uuid

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.keys import fingerprints, keys_of, mixed

UUID = uuid.UUID("0123abcd-4567-89ab-cdef-fedcba987654")
WAYS = [
    str(UUID),
    str(UUID).upper(),
    UUID.hex,
    UUID.hex.upper(),
    f"{{{UUID}}}",
    f"{{{UUID.hex}}}",
    f"urn:uuid:{UUID}",
    f"URN:Uuid:{str(UUID).upper()}",
    f"urn:uuid:{UUID.hex}",
]
NO_UUIDS = [
    str(UUID)[:-1],
    str(UUID) + "0",
    str(UUID).replace("a", "g"),
    "0123abcd-4567-89ab-cdeff-edcba987654",
    UUID.hex[:8] + "-" + UUID.hex[8:-1],
    f"{{{UUID})",
    f"({UUID}}}",
    f"urn:uuie:{UUID}",
    f"uuid:urn:{UUID}",
    f"urn\x1auuid\x1a{UUID}",
    f"{{urn:uuid:{UUID}}}",
    f" {UUID}",
    "0123abcd_4567_89ab_cdef_fedcba987654",
    "",
    "42",
    "é" * 18,
    "\x00" * 32,
]
PATTERN = re.compile(
    r"(?:(?i:urn:uuid:)(?P<a>H)|\{(?P<b>H)\}|(?P<c>H))".replace(
        "H", "(?:[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"
    )
)


def key_by_hand(text: str) -> bytes:
    if found := PATTERN.fullmatch(text):
        return bytes.fromhex("".join(part for part in found.groups() if part).replace("-", ""))
    return hashlib.blake2b(text.encode(), digest_size=16, person=b"headgate").digest()


def keys_as_bytes(texts: list[str], arrow_type: pa.DataType) -> list[bytes]:
    return [row.tobytes() for row in keys_of(pa.array(texts, arrow_type))]


@pytest.mark.parametrize("arrow_type", [pa.string(), pa.large_string()])
def test_every_way_of_writing_a_uuid_gives_its_bytes(arrow_type: pa.DataType) -> None:
    assert keys_as_bytes(WAYS, arrow_type) == [UUID.bytes] * len(WAYS)


def test_what_only_looks_like_a_uuid_is_keyed_by_its_text() -> None:
    keys = keys_as_bytes(NO_UUIDS, pa.string())
    assert keys == [hashlib.blake2b(text.encode(), digest_size=16, person=b"headgate").digest() for text in NO_UUIDS]
    assert len({*keys, UUID.bytes}) == len(NO_UUIDS) + 1


near_uuids = st.one_of(
    st.sampled_from(WAYS + NO_UUIDS),
    st.uuids().map(str),
    st.text(max_size=50),
    st.text("0123456789abcdefABCDEF-{}urnid:", min_size=30, max_size=46),
    st.builds(
        lambda text, at, char: text[:at] + char + text[at + 1 :],
        st.sampled_from(WAYS),
        st.integers(0, 44),
        st.characters(codec="ascii"),
    ),
)


@given(st.lists(near_uuids, max_size=40), st.integers(0, 3))
def test_keys_are_those_of_the_rule_for_any_mixture_and_slice(texts: list[str], skipped: int) -> None:
    keys = keys_of(pa.array(texts, pa.string())[skipped:])
    assert [row.tobytes() for row in keys] == [key_by_hand(text) for text in texts[skipped:]]


def test_more_uuids_than_a_block_keep_their_rows() -> None:
    ids = [uuid.UUID(int=n * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128) for n in range(70_000)]
    texts = [str(id_) if n % 3 else id_.hex for n, id_ in enumerate(ids)]
    assert keys_of(pa.array(texts)).tobytes() == b"".join(id_.bytes for id_ in ids)


@pytest.mark.parametrize("arrow_type", [pa.string(), pa.large_string(), pa.binary(), pa.large_binary()])
def test_fingerprints_are_xxh3_of_each_value(arrow_type: pa.DataType) -> None:
    values = [b"", b"a", b'{"x": 1}', b"", b"y" * 1000]
    expected = [xxhash.xxh3_64_intdigest(value) for value in values]
    array = pa.array(values, pa.binary()).cast(arrow_type)
    assert fingerprints(array).tolist() == expected
    assert fingerprints(array[1:4]).tolist() == expected[1:4]
    assert fingerprints(array[:0]).tolist() == []


def test_the_mixed_hash_depends_on_every_bit_of_a_key() -> None:
    key = np.arange(16, dtype=np.uint8).reshape(1, 16)
    flipped = np.repeat(key, 128, axis=0)
    for bit in range(128):
        flipped[bit, bit // 8] ^= 1 << (bit % 8)
    hashes = mixed(np.concatenate([key, flipped]))
    assert len(set(hashes.tolist())) == 129
    changed = [int(hashes[0] ^ other).bit_count() for other in hashes[1:]]
    assert min(changed) > 8
