"""Typed strategy parameters: checked as a whole, changed as a whole.

The rule: a strategy never sees a half-changed or invalid set. `change` builds a complete new struct from the old values
and the changes, with the same checks as at load, and only then is it put in place. Used by the container for the
config's `parameters` table and for the control command set-param.
"""

from __future__ import annotations

from typing import Any

import msgspec


class ParameterError(ValueError):
    """Parameters that cannot be; one sentence that names the parameter, what was found and what is expected."""


class NoParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For strategies without parameters."""


def build(kind: type[msgspec.Struct], values: dict[str, Any]) -> msgspec.Struct:
    """A checked struct. Text is taken for numbers and booleans too: that is how control commands carry them."""
    known = [field.name for field in msgspec.structs.fields(kind)]
    for name in values:
        if name not in known:
            raise ParameterError(f"parameter {name!r} is not known, expected one of: {', '.join(known) or 'none'}")
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ParameterError(_sentence(str(error), values)) from None


def change(current: msgspec.Struct, changes: dict[str, Any]) -> msgspec.Struct:
    """A new struct with these changes, or ParameterError and nothing happened."""
    return build(type(current), {**msgspec.structs.asdict(current), **changes})


def values_of(current: msgspec.Struct) -> dict[str, Any]:
    """Name -> value, in plain types for control and logs."""
    return {name: msgspec.to_builtins(value) for name, value in msgspec.structs.asdict(current).items()}


def _sentence(error: str, values: dict[str, Any]) -> str:
    what, _, where = error.partition(" - at `$")
    name = where.strip("`.")
    if not name:
        return f"parameters: {what}"
    return f"parameter {name} is {values.get(name)!r}: {what}"
