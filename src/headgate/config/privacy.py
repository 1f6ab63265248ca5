"""`[privacy]`: what is done to payloads, and the key of its hashes, which stands in the environment alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

#: Upper case, so that a key that is put here by mistake is refused.
VARIABLE = r"^[A-Z_][A-Z0-9_]{0,63}$"

NonEmpty = Annotated[str, Meta(min_length=1)]


class Privacy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is done to payloads before anything of them is written.

    Paths are names joined by dots; in an environment variable commas stand between them.
    """

    key_env: Annotated[
        str,
        Meta(
            pattern=VARIABLE,
            description="Environment variable that holds the key of the hashes, of 32 bytes or more; never the key.",
        ),
    ] = "HEADGATE_PRIVACY_KEY"
    hash: Annotated[
        tuple[NonEmpty, ...],
        Meta(
            description="Paths whose values become keyed hashes, the same value the same hash.",
            examples=[["account.email", "user_id"]],
        ),
    ] = ()
    mask: Annotated[
        tuple[NonEmpty, ...], Meta(description="Paths whose values become `***`.", examples=[["card.number"]])
    ] = ()
    drop: Annotated[tuple[NonEmpty, ...], Meta(description="Paths whose fields are removed.", examples=[["ip"]])] = ()
    unparseable: Annotated[
        Literal["keep", "withhold"],
        Meta(
            description="Rejects that cannot be read as JSON: kept byte for byte, or their length and keyed hash alone."
        ),
    ] = "keep"

    @property
    def is_on(self) -> bool:
        """True where anything at all is done."""
        return bool(self.hash or self.mask or self.drop) or self.unparseable != "keep"


def privacy_key(section: Privacy, env: Mapping[str, str]) -> bytes | None:
    """The key, without white space around it; None where it is not set.

    Args:
        section: names the variable.
        env: the environment.
    """
    return env.get(section.key_env, "").strip().encode("utf-8", "surrogateescape") or None
