"""The commented configuration file that `headgate init` writes, made from the specification."""

from __future__ import annotations

import json
from textwrap import wrap

from headgate.config.keys import Key, keys
from headgate.config.sections import SECTIONS, Rule

WIDTH = 100  # characters a line

HEAD = """\
# Headgate's settings. A line such as `#format = ...` shows a default: remove its `#` to change it.
# Flags win over environment variables (HEADGATE__SECTION__KEY, such as HEADGATE__BATCH__MAX_EVENTS),
# these over this file, and this file over the defaults. Unknown keys are errors.
# Use it with `--config headgate.toml` or HEADGATE_CONFIG=headgate.toml.
"""

RULES = """\
#[[rules]]
#name = "positive_amount"
#when = "event_type = 'payment'"
#check = "CAST(payload->>'amount' AS DOUBLE) > 0"
"""


def sample_toml() -> str:
    """Make the sample file: every setting with its description and default, all of them commented out."""
    parts = [HEAD]
    for section, spec in SECTIONS.items():
        parts.append(f"\n# {_first_line(spec)}\n[{section}]\n")
        parts += [_entry(key) for key in keys(section)]
    return "".join([*parts, f"\n# {_first_line(Rule)}\n", RULES])


def _entry(key: Key) -> str:
    text = key.description + (f" ({key.allowed})" if key.allowed else "")
    lines = [f"# {line}\n" for line in wrap(text, WIDTH - 2)]
    name = key.name.rpartition(".")[2]
    value = key.default if key.example is None else key.example
    return "".join([*lines, f"#{name} = {json.dumps(value, ensure_ascii=False)}\n"])


def _first_line(spec: type) -> str:
    return (spec.__doc__ or "").splitlines()[0]
