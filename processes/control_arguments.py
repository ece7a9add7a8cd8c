"""Words of a command line -> arguments of a control command.

The rule: key=value, the value read as JSON where it is JSON; what has no key is named by its place, where the command
has such places. Used by `corelane ctl`, and by the scripts of a demo, which say the same words.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from processes.exit_codes import ExitCode, Failure

NAMELESS: Final = {
    "set-param": ("strategy",),
    "set-limit": ("strategy",),
    "reset-loss": ("strategy",),
    "pause": ("strategy",),
    "resume": ("strategy",),
    "stop": ("strategy",),
    "swap-strategy": ("strategy", "module"),
}
"""What the words without a key are called, by command."""


def parse(command: str, texts: Iterable[str]) -> dict[str, Any]:
    """The arguments. Raises Failure with one sentence."""
    names = NAMELESS.get(command, ())
    given: dict[str, Any] = {}
    places = iter(names)
    for text in texts:
        if "=" in text:
            given |= [key_value(text)]
            continue
        name = next(places, None)
        if name is None:
            raise Failure(f"argument {text!r}: expected key=value", ExitCode.CONFIG)
        given[name] = text
    file, _, kind = str(given.get("module", "")).rpartition(":")
    if file.endswith(".py") and Path(file).is_file():  # the trader runs in another directory than the user
        given["module"] = f"{Path(file).absolute()}:{kind}"
    return given


def called_as() -> str:
    """How this program was called, for lines that the user may copy: ".venv/bin/corelane" where that was typed."""
    return sys.argv[0] if Path(sys.argv[0]).name == "corelane" else "corelane"


def key_value(text: str) -> tuple[str, Any]:
    """One pair. Raises Failure."""
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise Failure(f"argument {text!r}: expected key=value", ExitCode.CONFIG)
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
