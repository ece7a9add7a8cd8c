"""A parsed TOML tree against the declared types: every mistake found, each as one sentence that names its key.

The rule of this file: it goes on after a mistake, so that an operator corrects a file once and not once per error.
It knows types and their `Meta` only; nothing here knows what a key is for. Called by `config.py`.
"""

from __future__ import annotations

import difflib
import os
import re
import types
import typing
from collections.abc import Mapping
from typing import Any

import msgspec

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
USER_PART = re.compile(r"(?<=://)[^/@\s]*@")
"""User and password of a URL: never shown."""
_TYPE_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    dict: "a table",
    list: "a list",
}


class FromEnvironment(str):
    """A text that came out of `${NAME}` as a whole: it may also be read as the number or flag that the key wants."""

    __slots__ = ()


NAMES_OF_SECRETS = frozenset({"credentials", "webhook"})
"""Keys that hold the name of a secret."""
NO_KEYS = frozenset({"path"})
"""Fields of the tree that are filled in here and never read from a file."""
MISSING = object()
"""Stands where a variable was not found: that mistake is told already, a wrong type is not a second one."""


def substitute(value: Any, path: str, problems: list[str], environment: Mapping[str, str] = os.environ) -> Any:
    """The tree with each `${NAME}` and `${NAME:-default}` in its texts replaced; a missing name is a problem."""
    if isinstance(value, dict):
        return {
            key: substitute(item, f"{path}.{key}" if path else key, problems, environment)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [substitute(item, f"{path}[{index}]", problems, environment) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        found: str | None = environment.get(match[1], match[2])
        if found is None:
            problems.append(
                f"{path}: the environment has no {match[1]}; expected it to be set, or ${{{match[1]}:-default}}"
            )
            return ""
        return found

    known = len(problems)
    text = _VARIABLE.sub(replace, value)
    if len(problems) > known:
        return MISSING
    return FromEnvironment(text) if _VARIABLE.fullmatch(value) else text


def check_tree(value: Any, declared: Any, path: str, problems: list[str]) -> None:
    """Append one sentence to `problems` for everything in `value` that does not fit the declared type."""
    if value is MISSING:
        return
    declared, meta = unwrap(declared)
    origin: Any = typing.get_origin(declared)
    if isinstance(declared, type) and issubclass(declared, msgspec.Struct):
        _check_struct(value, declared, path, problems)
    elif origin in (types.UnionType, typing.Union):
        inner = [option for option in typing.get_args(declared) if option is not type(None)]
        check_tree(value, inner[0], path, problems)  # the schema has optional keys but no other unions
    elif origin is dict:
        if _is_a(value, dict, path, problems):
            for key, item in value.items():
                check_tree(item, typing.get_args(declared)[1], f"{path}.{key}", problems)
    elif origin is list:
        if _is_a(value, list, path, problems):
            if meta is not None and meta.min_length is not None and len(value) < meta.min_length:
                problems.append(f"{path}: found an empty list, expected at least {meta.min_length} entry")
            for index, item in enumerate(value):
                check_tree(item, typing.get_args(declared)[0], f"{path}[{index}]", problems)
    else:
        _check_leaf(value, declared, meta, path, problems)


def suggestion(word: str, known: typing.Iterable[str]) -> str:
    """`; did you mean "x"?` where one of the known words is near, else the whole choice."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else f"; expected one of {', '.join(names) or 'none'}"


def _check_struct(value: Any, declared: type[msgspec.Struct], path: str, problems: list[str]) -> None:
    if not _is_a(value, dict, path, problems):
        return
    hints = typing.get_type_hints(declared, include_extras=True)
    fields = {item.encode_name: item for item in msgspec.structs.fields(declared) if item.name not in NO_KEYS}
    prefix = f"{path}." if path else ""
    for key, item in value.items():
        if key in fields:
            check_tree(item, hints[fields[key].name], prefix + key, problems)
        else:
            problems.append(f"{prefix}{key}: unknown key{suggestion(key, fields)}")
    for key, item in fields.items():
        if item.required and key not in value:
            problems.append(f"{prefix}{key}: missing, expected {describe(hints[item.name])}")


def _check_leaf(value: Any, declared: Any, meta: msgspec.Meta | None, path: str, problems: list[str]) -> None:
    full = typing.Annotated[declared, meta] if meta is not None else declared
    try:
        msgspec.convert(value, full, strict=not isinstance(value, FromEnvironment))
    except msgspec.ValidationError:
        problems.append(f"{path}: found {_shown(value, path)}, expected {describe(full)}")


def _shown(value: Any, path: str) -> str:
    """What was pasted where a name belongs may be the secret itself."""
    hidden = isinstance(value, str) and path.rpartition(".")[2] in NAMES_OF_SECRETS
    return "a text that is not shown here" if hidden else show(value)


def _is_a(value: Any, kind: type, path: str, problems: list[str]) -> bool:
    if isinstance(value, kind):
        return True
    problems.append(f"{path or 'the file'}: found {show(value)}, expected {_TYPE_WORDS[kind]}")
    return False


def unwrap(declared: Any) -> tuple[Any, msgspec.Meta | None]:
    if typing.get_origin(declared) is not typing.Annotated:
        return declared, None
    base, *extras = typing.get_args(declared)
    return base, next((extra for extra in extras if isinstance(extra, msgspec.Meta)), None)


def show(value: Any) -> str:
    """A value as it stands in a TOML file, cut to stay inside one sentence."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    text = f'"{USER_PART.sub("", value)}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def describe(declared: Any) -> str:
    """What a type expects, in words."""
    base, meta = unwrap(declared)
    origin = typing.get_origin(base)
    if meta is not None and meta.description:
        return meta.description
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(base)))
    if origin in (types.UnionType, typing.Union):
        return describe(typing.get_args(base)[0])
    if isinstance(base, type) and issubclass(base, msgspec.Struct):
        return "a table"
    words = _TYPE_WORDS.get(origin or base, str(base))
    if meta is None:
        return words
    above = "to" if meta.ge is not None else "and at most" if meta.gt is not None else "at most"
    below = "and below" if meta.ge is not None or meta.gt is not None else "below"
    bounds = [("from", meta.ge), ("above", meta.gt), (above, meta.le), (below, meta.lt)]
    return " ".join([words, *(f"{word} {bound:.10g}" for word, bound in bounds if bound is not None)])
