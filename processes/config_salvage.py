"""What is right in a config that has mistakes, so that its rules are checked too and one report names everything.

The rule: what does not fit its type is left out, and with it the smallest optional table around it; where that leaves
nothing to judge, there is nothing to judge. What stands beside a mistake may be a consequence of it and is not told.
Called by `config.py`, after `config_reading.py` has found mistakes.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable
from typing import Any

import msgspec

from processes.config_reading import MISSING, check_tree, unwrap


def sound_part(value: Any, declared: Any) -> Any:
    """`value` without what does not fit; MISSING where a part that must be there does not."""
    if value is MISSING:
        return MISSING
    base, meta = unwrap(declared)
    origin = typing.get_origin(base)
    if origin in (types.UnionType, typing.Union):
        return sound_part(value, next(option for option in typing.get_args(base) if option is not type(None)))
    if isinstance(base, type) and issubclass(base, msgspec.Struct):
        return _sound_struct(value, base)
    if origin is dict and isinstance(value, dict):
        return _whole({key: sound_part(item, typing.get_args(base)[1]) for key, item in value.items()})
    if origin is list and isinstance(value, list):
        if meta is not None and len(value) < (meta.min_length or 0):
            return MISSING
        found = _whole(dict(enumerate(sound_part(item, typing.get_args(base)[0]) for item in value)))
        return found if found is MISSING else list(found.values())
    problems: list[str] = []
    check_tree(value, declared, "", problems)
    return MISSING if problems else value


def _sound_struct(value: Any, declared: type[msgspec.Struct]) -> Any:
    if not isinstance(value, dict):
        return MISSING
    hints = typing.get_type_hints(declared, include_extras=True)
    sound: dict[str, Any] = {}
    for item in msgspec.structs.fields(declared):
        found = sound_part(value.get(item.encode_name, MISSING), hints[item.name])
        if found is not MISSING:
            sound[item.encode_name] = found
        elif item.required:
            return MISSING
    return sound


def _whole(items: dict[Any, Any]) -> Any:
    return MISSING if any(item is MISSING for item in items.values()) else items


def not_beside(sentences: Iterable[str], mistakes: Iterable[str]) -> list[str]:
    """Those sentences whose key stands neither in nor below the table of a mistake. All begin with their key."""
    tables = {table for mistake in mistakes if (table := _key(mistake).rpartition(".")[0])}
    return [
        sentence
        for sentence in sentences
        if not any(_key(sentence) == table or _key(sentence).startswith((f"{table}.", f"{table}[")) for table in tables)
    ]


def _key(sentence: str) -> str:
    return sentence.partition(": ")[0]
