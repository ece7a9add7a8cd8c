"""Code swap: new code takes a running strategy over, while its orders, positions, limits and timers stay.

The rule: until everything about the new code is known to work, nothing about the old code changes. In this order: the
source is read and run anew, its object made, the parameters that hold now are checked by its own struct, the state of
the old object is exported, carried over as plain values, and given to the new one. Whatever fails is one sentence, and
the old code goes on as if nobody had asked. Only then the new object stands in the runner.

While it is given the state the new object may read everything and set timers, but it sends nothing: `Trial` stands
behind it instead of the runner. Modules that the strategy imports are not read anew; its own module is.

The trader's loop stands still meanwhile; how long is in the answer and in the log. Called by the container.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

import msgspec

from strategy import parameters
from strategy.abstract_strategy import AbstractStrategy
from strategy.loader import StrategyLoadError, fresh_strategy_class, where
from strategy.strategy_runner import RunnerState, StrategyRunner

if TYPE_CHECKING:
    from collections.abc import Callable

    from strategy.instrument import Instrument
    from strategy.market_view import MarketView
    from strategy.mini_pms import Position
    from strategy.order import Order

OVER: Final = frozenset({RunnerState.STOPPING, RunnerState.STOPPED})


class SwapError(Exception):
    """The new code cannot take over; one sentence. The old code runs on."""


class Trial:
    """Behind the new object until it has taken over: everything can be read, timers wait, nothing can be sent."""

    def __init__(self, runner: StrategyRunner) -> None:
        self._runner = runner
        self.name, self.log, self.clock = runner.name, runner.log, runner.clock
        self.instruments = runner.instruments
        self._timers: list[Callable[[], None]] = []

    def open_orders(self) -> list[Order]:
        return self._runner.open_orders()

    def view(self, instrument: Instrument) -> MarketView:
        return self._runner.view(instrument)

    def position(self, instrument: Instrument) -> Position:
        return self._runner.position(instrument)

    def set_timer(self, seconds: float, name: str, repeat: bool) -> None:
        self._runner.check_timer(seconds, name)
        self._timers.append(lambda: self._runner.set_timer(seconds, name, repeat))

    def cancel_timer(self, name: str) -> None:
        self._timers.append(lambda: self._runner.cancel_timer(name))

    def set_timers(self) -> None:
        """What it asked for, now that it has taken over."""
        for act in self._timers:
            act()

    def _send_nothing(self, *_arguments: Any) -> NoReturn:
        raise SwapError("no request can be sent before the new code has taken over; do it in on_ready or on_quote")

    submit = cancel = replace = cancel_all = _send_nothing


def swap(runner: StrategyRunner, spec: str, folder: Path | None, changes: dict[str, Any]) -> dict[str, Any]:
    """Let `spec` take the strategy of `runner` over, with parameter `changes`. What was done, for people.

    Raises SwapError.
    """
    if runner.state in OVER:
        raise SwapError(f"strategy {runner.name} is {runner.state.name.lower()}; there is nothing to take over")
    begin_ns = runner.clock()
    old, had_failed = runner.strategy, runner.state == RunnerState.FAILED
    trial = Trial(runner)
    try:
        with fresh_strategy_class(spec, folder) as kind:
            new = _guarded(f"{kind.__name__}()", kind)
            new.parameters, dropped = _carried_parameters(old, kind, changes)
            new._runner = cast(StrategyRunner, trial)
            if runner.started:
                _hand_over(runner, old, new, had_failed)
    except (StrategyLoadError, parameters.ParameterError) as error:
        raise SwapError(f"{error}; the old code runs on") from None
    runner.take_over(new, spec)
    trial.set_timers()
    took_ms = (runner.clock() - begin_ns) / 1e6
    orders = len(runner.open_orders())
    runner.log.info(
        "strategy %s: code swapped to %s in %.1f ms; %d orders live on%s", runner.name, spec, took_ms, orders,
        f"; parameters that it does not have: {', '.join(dropped)}" if dropped else "",
    )  # fmt: skip
    if had_failed or type(new).import_state is AbstractStrategy.import_state:
        runner.begin_anew()
    return {
        "strategy": runner.name,
        "module": spec,
        "parameters": parameters.values_of(new.parameters),
        "dropped_parameters": dropped,
        "open_orders": orders,
        "took_ms": round(took_ms, 1),
    }


def _carried_parameters(
    old: AbstractStrategy, kind: type[AbstractStrategy], changes: dict[str, Any]
) -> tuple[msgspec.Struct, list[str]]:
    """Today's values for the parameters that the new code has too, and the names of those that it has not."""
    values = parameters.values_of(old.parameters)
    known = {field.name for field in msgspec.structs.fields(kind.Parameters)}
    carried = {name: value for name, value in values.items() if name in known}
    return parameters.build(kind.Parameters, carried | changes), [name for name in values if name not in known]


def _hand_over(runner: StrategyRunner, old: AbstractStrategy, new: AbstractStrategy, had_failed: bool) -> None:
    """Give the new object what the old one knows; code that failed is asked for nothing."""
    if had_failed:
        _guarded("on_start", new.on_start)
        return
    exported = _guarded("export_state of the old code", old.export_state)
    try:  # plain values and nothing else: an object of an old class would keep the old code alive in the new one
        state = msgspec.msgpack.decode(msgspec.msgpack.encode(exported), strict=False)
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise SwapError(
            f"export_state of strategy {runner.name} gave what is not a plain value ({error}), expected numbers, "
            "texts, lists and dicts; the old code runs on"
        ) from None
    _guarded("import_state", lambda: new.import_state(state))


def _guarded(what: str, act: Callable[[], Any]) -> Any:
    try:
        return act()
    except SwapError as error:
        raise SwapError(f"{what}: {error}; the old code runs on") from None
    except (Exception, SystemExit) as error:
        kind = type(error).__name__
        raise SwapError(f"{what} failed: {kind} at {where(error)}: {error}; the old code runs on") from error
