"""Code is swapped while orders live on; whatever is wrong with the new code, the old one trades on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from shm.layout import RequestType
from strategy import market_making
from strategy.code_swap import SwapError
from strategy.container import StrategyContainer
from strategy.strategy_runner import RunnerState, StrategyRunner
from tests.strategy.world import Limits, Settings, World

FIRST = """
import msgspec
from strategy.abstract_strategy import AbstractStrategy

class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    price: float = 59000.0
    old: int = 7

class Quoter(AbstractStrategy):
    Parameters = Parameters

    def on_start(self):
        self.quotes = 0
        self.set_timer(60.0, "kept")

    def on_quote(self, quote):
        self.quotes += 1
        if not self.orders:
            self.buy(self.instruments[0], self.parameters.price, 0.01, post_only=True)

    def export_state(self):
        return {"quotes": self.quotes, "pair": (1, 2)}
"""

SECOND = """
import msgspec
from strategy.abstract_strategy import AbstractStrategy

class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    price: float = 59000.0
    new: int = 8

class Quoter(AbstractStrategy):
    Parameters = Parameters

    def import_state(self, state):
        self.state = state
        self.seen = list(self.orders)
        self.held = self.position(self.instruments[0]).position
        self.set_timer(1.0, "mine")
        self.quotes = state.get("quotes", 0)
        self.timers = []
        self.ready = 0

    def on_ready(self):
        self.ready += 1

    def on_timer(self, name):
        self.timers.append(name)

    def on_quote(self, quote):
        self.quotes += 1
        for order in self.orders:
            if order.is_working:
                self.cancel(order)
"""


class Swapping:
    """A world in which strategy 1 comes from a file and has one accepted order."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.file = folder / "quoter.py"
        self.file.write_text(FIRST)
        self.container: StrategyContainer = world.start()
        self.container.load(Settings(module="quoter.py:Quoter", limits=Limits(), parameters={"price": 58000.0}), folder)
        world.make_ready()
        [self.request] = world.take_requests()
        world.accept(self.request)
        world.turn()

    @property
    def runner(self) -> StrategyRunner:
        return self.world.runner()

    @property
    def strategy(self) -> Any:
        return self.runner.strategy

    def swap(self, text: str | None = None, **changes: Any) -> dict[str, Any]:
        if text is not None:
            self.file.write_text(text)
        return self.container.swap_strategy("one", changes=changes)

    def tick(self) -> None:
        self.world.book()
        self.world.quote()
        self.world.turn()


@pytest.fixture
def swapping(world: World, tmp_path: Path) -> Swapping:
    return Swapping(world, tmp_path)


def test_new_code_gets_state_parameters_and_open_orders_and_nothing_is_sent(swapping: Swapping) -> None:
    [order] = swapping.runner.open_orders()
    before = swapping.strategy.quotes
    answer = swapping.swap(SECOND, new=9)
    new = swapping.strategy
    assert new.state == {"quotes": before, "pair": [1, 2]}
    assert new.seen == [order] and new.held == 0.0
    assert (new.parameters.price, new.parameters.new) == (58000.0, 9)
    assert answer["dropped_parameters"] == ["old"] and answer["open_orders"] == 1
    assert new.ready == 0, "code that takes its orders over is not told to begin anew"
    assert swapping.world.take_requests() == []
    swapping.tick()
    assert new.quotes == before + 1
    assert [one.request_type for one in swapping.world.take_requests()] == [RequestType.CANCEL]


def test_events_of_an_order_of_the_old_code_reach_the_new_one(
    swapping: Swapping, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    swapping.swap(SECOND + "\n    def on_fill(self, fill):\n        self.told = fill.quantity\n")
    assert "code swapped to quoter.py:Quoter in" in caplog.text and "1 orders live on" in caplog.text
    swapping.world.fill(swapping.request, 10, b"1")
    swapping.world.turn()
    assert swapping.strategy.told == 0.01
    assert swapping.runner.position(swapping.runner.instruments[0]).position == 0.01


def test_timers_of_the_old_code_stay_and_those_of_the_new_one_are_set(swapping: Swapping) -> None:
    swapping.swap(SECOND)
    swapping.world.wait(2.0)
    assert swapping.strategy.timers == ["mine"]
    swapping.world.wait(60.0)
    assert swapping.strategy.timers == ["mine", "kept"]


def test_code_without_import_state_begins_as_after_an_interruption(swapping: Swapping) -> None:
    swapping.swap(FIRST + "\n    def on_ready(self):\n        self.cancel_all()\n")
    assert swapping.strategy.quotes == 0, "on_start ran"
    assert [one.request_type for one in swapping.world.take_requests()] == [RequestType.CANCEL]


BROKEN = {
    "syntax": ("def broken(:\n", "SyntaxError at .*quoter.py:1"),
    "import": ("import surely_not_here\n", "ModuleNotFoundError at .*quoter.py:1"),
    "exit at import": ("import sys\nsys.exit(3)\n", "SystemExit at .*quoter.py:2"),
    "no class": ("x = 1\n", "has no Quoter"),
    "constructor": (SECOND + "\n    def __init__(self):\n        1 / 0\n", "ZeroDivisionError at .*quoter.py"),
    "parameters": (SECOND.replace("price: float = 59000.0", "price: bool = True"), "parameter price"),
    "missing parameter": (SECOND.replace("new: int = 8", "new: int").replace(": float = 59000.0", ": float"), "`new`"),
    "import_state": (SECOND.replace("self.state = state", "raise KeyError('x')"), "import_state failed: KeyError at"),
    "an order in import_state": (
        SECOND.replace("self.state = state", "self.sell(self.instruments[0], 61000.0, 0.01)"),
        "import_state: no request can be sent before the new code has taken over",
    ),
    "a bad timer": (SECOND.replace("set_timer(1.0", "set_timer(0.0"), "expected a positive number"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_code_that_is_wrong_leaves_the_old_code_running_and_says_one_sentence(
    swapping: Swapping, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    text, words = BROKEN[case]
    old, module = swapping.strategy, sys.modules[type(swapping.strategy).__module__]
    with pytest.raises(SwapError, match=words) as caught:
        swapping.swap(text)
    sentence = str(caught.value)
    assert sentence.endswith("the old code runs on") and "\n" not in sentence
    assert sentence in caplog.text
    assert swapping.strategy is old and swapping.runner.state == RunnerState.RUNNING
    assert sys.modules[type(old).__module__] is module, "others still find the module of the code that runs"
    quotes = old.quotes
    swapping.tick()
    assert old.quotes == quotes + 1 and old.orders == swapping.runner.open_orders() != []
    assert swapping.world.take_requests() == []
    swapping.container.set_parameters("one", {"price": 57000.0})
    assert old.parameters.price == 57000.0


@pytest.mark.parametrize(
    ("exported", "words"),
    [("object()", "what is not a plain value"), ("1 / 0", "export_state of the old code failed: ZeroDivisionError")],
)
def test_state_that_cannot_be_handed_over_is_one_sentence(
    world: World, tmp_path: Path, exported: str, words: str
) -> None:
    (tmp_path / "quoter.py").write_text(FIRST.replace('{"quotes": self.quotes, "pair": (1, 2)}', exported))
    container = world.start()
    container.load(Settings(module="quoter.py:Quoter", limits=Limits()), tmp_path)
    world.make_ready()
    old = world.runner().strategy
    with pytest.raises(SwapError, match=words):
        container.swap_strategy("one")
    assert world.runner().strategy is old


def test_a_strategy_that_failed_goes_on_with_repaired_code_that_gets_no_state(swapping: Swapping) -> None:
    swapping.strategy.quotes = "not a number"
    swapping.tick()
    assert swapping.runner.state == RunnerState.FAILED
    [cancel] = swapping.world.take_requests()
    swapping.swap(FIRST + "\n    def import_state(self, state):\n        1 / 0\n")
    assert (swapping.runner.state.name, swapping.runner.text) == ("RUNNING", "")
    assert swapping.strategy.quotes == 0 and cancel.request_type == RequestType.CANCEL
    swapping.tick()
    assert swapping.strategy.quotes == 1


def test_a_paused_strategy_stays_paused_with_the_new_code(swapping: Swapping) -> None:
    swapping.runner.pause()
    swapping.swap(SECOND)
    assert swapping.runner.state == RunnerState.PAUSED and swapping.strategy.ready == 0
    swapping.runner.resume()
    assert swapping.strategy.ready == 1


def test_a_module_on_the_path_is_read_anew_too(swapping: Swapping, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "swapped_module.py").write_text(SECOND)
    swapping.container.swap_strategy("one", "swapped_module:Quoter")
    (tmp_path / "swapped_module.py").write_text(SECOND.replace("new: int = 8", "new: int = 5"))
    swapping.container.swap_strategy("one", "swapped_module:Quoter", {"price": 1.0})
    assert swapping.strategy.parameters.new == 8, "the value that holds is carried over"
    assert type(swapping.strategy).Parameters().new == 5, "and the new code is there, written in the same second"
    assert swapping.container.status()["strategies"]["one"]["module"] == "swapped_module:Quoter"
    with pytest.raises(SwapError, match="there is no module swapped_nothing"):
        swapping.container.swap_strategy("one", "swapped_nothing:Quoter")


def test_a_stopped_or_unknown_strategy_is_refused(swapping: Swapping) -> None:
    with pytest.raises(SwapError, match="found 'two', expected one of: one"):
        swapping.container.swap_strategy("two")
    swapping.runner.stop()
    with pytest.raises(SwapError, match="strategy one is stopping"):
        swapping.swap(SECOND)


def test_market_making_keeps_its_quotes_and_what_it_learnt(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "strategy.market_making", market_making)  # put back for the other tests
    spec = "strategy.market_making:MarketMakingStrategy"
    container = world.start()
    container.load(Settings(module=spec, limits=Limits(), parameters={"order_quantity": 0.01}))
    world.make_ready()
    requests = world.take_requests()
    assert [one.side for one in requests] == [1, 2]
    for request in requests:
        world.accept(request)
    for step in range(40):
        price = 60000.0 + 5 * (step % 2)
        world.book(bid=price, ask=price + 0.1)
        world.quote(price, price + 0.1)
        world.turn(0.3)
    world.take_requests()
    old: Any = world.runner().strategy
    learnt = old._quoters[world.btc].volatility.value()
    orders = world.runner().open_orders()
    assert learnt is not None and len(orders) == 2
    container.swap_strategy("one")
    new: Any = world.runner().strategy
    assert type(new) is not type(old)
    quoter = new._quoters[world.btc]
    assert quoter.volatility.value() == pytest.approx(learnt, rel=1e-12)
    assert [quoter.bid, quoter.ask] == orders
    assert world.take_requests() == []
