"""Live actions during a demo, from a file: what an operator would do by `corelane ctl trader`, at a second of the run.

    # second  words as after `corelane ctl trader`
    5    set-param mm-btcusdt requote_ticks=3
    10   swap-strategy mm-btcusdt my_market_making.py:MyMarketMaking
    15   restart --keep

The rule: an action is done when it is due and an order of ours is open, because that is when it matters; where none
comes in time it is done all the same. Each stands in the report with what came of it, and one that was refused makes
the demo end with 1. Called by `demo.py`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from processes import control_arguments, trader_restart
from processes.control import ControlError
from processes.exit_codes import ExitCode, Failure

ORDER_PATIENCE_S: Final = 5.0
"""How long an action waits for an open order."""
RESTART_PATIENCE_S: Final = 30.0
FLAGS: Final = {"--keep": "orders=keep", "--cancel": "orders=cancel"}


@dataclass(frozen=True)
class Action:
    """One line of the file."""

    at_s: float
    command: str
    arguments: dict[str, Any]
    words: str


@dataclass
class Outcome:
    """What came of an action."""

    at_s: float
    words: str
    open_orders: int
    good: bool = True
    text: str = "done"


def read(file: Path) -> list[Action]:
    """The actions, by time. Raises Failure with one sentence that names the line."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise Failure(f"--script: {file} cannot be read: {reason}", ExitCode.CONFIG) from None
    actions = []
    for number, line in enumerate(lines, start=1):
        try:
            words = shlex.split(line, comments=True)
            if words:
                actions.append(_action(words))
        except (ValueError, Failure) as error:
            raise Failure(f"--script: {file}, line {number}: {error}", ExitCode.CONFIG) from None
    return sorted(actions, key=lambda action: action.at_s)


def _action(words: list[str]) -> Action:
    if len(words) < 2:
        raise ValueError(f"found {' '.join(words)!r}, expected a second and a command")
    try:
        at_s = float(words[0])
    except ValueError:
        raise ValueError(f"found {words[0]!r}, expected the second of the run") from None
    command, texts = words[1], [FLAGS.get(word, word) for word in words[2:]]
    return Action(at_s, command, control_arguments.parse(command, texts), " ".join(words[1:]))


class ScriptRunner:
    """Does what is due: call `poll` several times a second while the demo trades."""

    def __init__(
        self,
        actions: list[Action],
        *,
        ask: Callable[[str, dict[str, Any]], dict[str, Any]],
        look_at_restart: Callable[[int], dict[str, Any] | None],
        open_orders: Callable[[], int],
    ) -> None:
        """`ask`: a control command to the trader; it raises ControlError. `look_at_restart`: trader_restart.look."""
        self._waiting = list(actions)
        self._ask, self._look_at_restart, self._open_orders = ask, look_at_restart, open_orders
        self._restarting: tuple[Outcome, int, float] | None = None
        self.outcomes: list[Outcome] = []

    def poll(self, elapsed_s: float) -> None:
        """Do what is due; one action at a time, and none while the trader restarts."""
        if self._restarting is not None:
            self._follow(*self._restarting, elapsed_s)
            return
        if not self._waiting or elapsed_s < self._waiting[0].at_s:
            return
        open_orders = self._open_orders()
        if not open_orders and elapsed_s < self._waiting[0].at_s + ORDER_PATIENCE_S:
            return
        self._do(self._waiting.pop(0), open_orders, elapsed_s)

    def stop(self) -> None:
        """Trading has ended: what was not done, or is not over, is said so."""
        if self._restarting is not None:
            outcome = self._restarting[0]
            outcome.good, outcome.text = False, "was not over at the end of the trading"
        for action in self._waiting:
            self.outcomes.append(Outcome(action.at_s, action.words, 0, False, "the trading ended before it"))
        self._waiting, self._restarting = [], None

    def _do(self, action: Action, open_orders: int, elapsed_s: float) -> None:
        outcome = Outcome(round(elapsed_s, 2), action.words, open_orders)
        self.outcomes.append(outcome)
        try:
            answer = self._ask(action.command, action.arguments)
        except ControlError as error:
            outcome.good, outcome.text = False, str(error)
            return
        if answer.get("restarting"):
            outcome.text = "goes on"
            self._restarting = outcome, int(answer["pid"]), elapsed_s + RESTART_PATIENCE_S
        elif "took_ms" in answer:
            outcome.text = f"done in {answer['took_ms']:g} ms, {answer['open_orders']} orders of it live on"

    def _follow(self, outcome: Outcome, pid: int, deadline_s: float, elapsed_s: float) -> None:
        found = self._look_at_restart(pid)
        if found is not None:
            outcome.text = trader_restart.in_words(found)
        elif elapsed_s > deadline_s:
            outcome.good, outcome.text = False, f"no quotes again after {RESTART_PATIENCE_S:g} s"
        else:
            return
        self._restarting = None


def in_words(outcomes: list[Outcome]) -> list[str]:
    """Lines of the report."""
    return [
        f"  {one.at_s:>6.1f} s  {one.words} ({one.open_orders} orders open): {'' if one.good else 'FAILED: '}{one.text}"
        for one in outcomes
    ]
