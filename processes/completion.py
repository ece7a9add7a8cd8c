"""What the shell offers for the words of `corelane ctl` when Tab is pressed.

The rule: it offers what is there now: processes that run (else those of the config), the commands that the named
process itself lists, the config's strategies. It never says anything, whatever is wrong: a shell shows every word as a
choice.
Called by the shell through cli.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

import typer

ASK_S: Final = 0.3
"""A person waits for this at every Tab."""


def processes(context: typer.Context, incomplete: str) -> list[str]:
    """Names for the last of a comma-separated list."""
    before, comma, _ = incomplete.rpartition(",")
    named = set(before.split(","))
    found: list[str] = []
    with contextlib.suppress(Exception):
        found = [name for name in _processes(context) if name not in named]
    if not comma:
        found.append("all")
    return _beginning(incomplete, (f"{before}{comma}{name}" for name in found))


def commands(context: typer.Context, incomplete: str) -> list[str]:
    """What the first named process knows, by its own word."""
    from processes import control

    with contextlib.suppress(Exception):
        run_dir = _config(context).instance.run_dir
        running = control.running(run_dir)
        wanted = str(context.params.get("process") or "").split(",")
        name = next((one for one in wanted if one in running), running[0])
        return _beginning(incomplete, control.ask(run_dir, name, "commands", {}, ASK_S)["commands"])
    return []


def strategies(context: typer.Context, incomplete: str) -> list[str]:
    """Names, where the command takes one."""
    from processes.control_arguments import NAMELESS

    with contextlib.suppress(Exception):
        if context.params.get("command") in NAMELESS and not context.params.get("arguments"):
            return _beginning(incomplete, (strategy.name for strategy in _config(context).strategies))
    return []


def _processes(context: typer.Context) -> Iterator[str]:
    from processes import control

    config = _config(context)
    yield from control.running(config.instance.run_dir) or config.processes()


def _config(context: typer.Context) -> Any:
    from processes.config import ProcessConfigManager

    return ProcessConfigManager(context.params.get("config")).load()


def _beginning(incomplete: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
