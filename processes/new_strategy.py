"""`corelane new-strategy`: a strategy that trades at once, and its test, to be changed into one's own.

The rule: nothing is overwritten, and what is written runs as it is: the test passes, and the demo trades it. Called by
`cli.py`.
"""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from typing import Final

from processes.exit_codes import ExitCode, Failure

LONGEST: Final = 40
NAME: Final = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")
TAKEN: Final = frozenset({"shm", "exchanges", "strategy", "processes", "tests", "bench", "conftest"})
"""Names that would hide a package of ours, or mean something to pytest."""

STRATEGY: Final = '''"""{Class}: says what it does in one line.

As it stands: while flat it joins the best bid; what it bought it offers at the best ask. Change it into your own.
What may be called and what is called when: strategy/abstract_strategy.py.

    corelane demo --seconds 20 --strategy {name}.py:{Class} --set order_quantity=0.01
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from strategy.abstract_strategy import AbstractStrategy

if TYPE_CHECKING:
    from shm.records import Quote
    from strategy.order import Fill, Order


class {Class}Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Checked before the start; `corelane ctl trader set-param` changes them while it trades, all or nothing."""

    order_quantity: Annotated[float, Meta(gt=0.0)] = 0.01
    """In the venue's unit: BTC for BTCUSDT."""
    requote_ticks: Annotated[float, Meta(gt=0.0)] = 5.0
    """An order is moved when the best price is this many ticks away from it."""


class {Class}(AbstractStrategy):
    """Every callback is optional, returns at once and never waits: all strategies share one loop."""

    Parameters = {Class}Parameters
    parameters: {Class}Parameters

    def on_start(self) -> None:
        """Once, before anything else. This is the place for what other classes do in __init__."""
        self.instrument = self.instruments[0]  # those of the config, or of --symbols, in their order
        self.order: Order | None = None

    def on_ready(self) -> None:
        """At the start and after every interruption or code swap: an order that is open is the one to go on with."""
        self.order = next(iter(self.orders), None)
        for order in self.orders[1:]:
            self.cancel(order)

    def on_quote(self, quote: Quote) -> None:
        """A new best bid and ask, never stale or crossed. `quote` is reused: take what you need, or copy() it."""
        if quote.instrument_id != self.instrument.id:
            return
        held = self.position(self.instrument).position
        price = quote.ask_price if held > 0.0 else quote.bid_price
        if self.order is not None:
            moved = abs(price - self.order.price) / self.instrument.tick
            if self.order.is_working and moved >= self.parameters.requote_ticks:
                self.cancel(self.order)  # on_order says when it is over; only then is there a new one
            return
        if held > 0.0:
            order = self.sell(self.instrument, price, held, post_only=True)
        else:
            order = self.buy(self.instrument, price, self.parameters.order_quantity, post_only=True)
        if not order.is_terminal:  # terminal at once: refused here, order.text says why
            self.order = order

    def on_order(self, order: Order) -> None:
        """An order changed. Only the venue's word makes it terminal: filled, canceled, rejected, expired."""
        if order is self.order and order.is_terminal:
            self.order = None

    def on_fill(self, fill: Fill) -> None:
        """Once per trade; the position has moved already."""
        self.log.info("%s; holding %g", fill, self.position(fill.instrument).position)
'''

TEST: Final = '''\
"""{Class} without a venue: the trader's side is real, the test plays the rest; see strategy/testing.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from strategy.testing import StrategyRig


@pytest.fixture
def rig() -> Iterator[StrategyRig]:
    file = Path(__file__).with_name("{name}.py")
    with StrategyRig(f"{{file}}:{Class}", {{"order_quantity": 0.01}}) as made:
        yield made


def test_it_joins_the_best_bid_while_flat(rig):
    rig.quote(bid=60_000.0, ask=60_000.1)
    [order] = rig.orders
    assert (order.is_buy, order.price, order.quantity, order.post_only) == (True, 60_000.0, 0.01, True)
    assert rig.refused == []


def test_it_offers_what_it_bought_at_the_best_ask(rig):
    rig.quote(bid=60_000.0, ask=60_000.1)
    rig.fill(rig.orders[0])
    rig.quote(bid=60_010.0, ask=60_010.1)
    [order] = rig.orders
    assert (order.is_buy, order.price, order.quantity) == (False, 60_010.1, 0.01)
    rig.fill(order)
    assert rig.position().position == 0.0
    assert rig.position().realized_pnl == pytest.approx(0.101)  # 10.1 USDT a BTC


def test_it_follows_the_market(rig):
    rig.quote(bid=60_000.0, ask=60_000.1)
    rig.quote(bid=60_001.0, ask=60_001.1)
    rig.quote(bid=60_001.0, ask=60_001.1)
    assert [order.price for order in rig.orders] == [60_001.0]


def test_nothing_stands_in_the_market_while_the_data_is_stale(rig):
    rig.quote(bid=60_000.0, ask=60_000.1)
    rig.wait(5.0, quiet=True)
    assert rig.orders == []
'''


def write(name: str, folder: Path) -> tuple[Path, Path, str]:
    """Write both files, the folder too where it is missing: (strategy, test, class). Raises Failure in one sentence."""
    if name.endswith(".py"):
        raise Failure(f"NAME: found {name!r}, expected a name without .py", ExitCode.CONFIG)
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        raise Failure(
            f"NAME: found {name!r}, expected lower-case words like mean_reversion, at most {LONGEST} characters",
            ExitCode.CONFIG,
        )
    module = name.replace("-", "_")
    if keyword.iskeyword(module) or keyword.issoftkeyword(module) or module in TAKEN or module.startswith("test_"):
        raise Failure(f"NAME: {module!r} has a meaning already, expected another one", ExitCode.CONFIG)
    words = {"name": module, "Class": "".join(word.capitalize() for word in module.split("_"))}
    files = folder / f"{module}.py", folder / f"test_{module}.py"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise Failure(f"--folder: {folder} is not a directory", ExitCode.CONFIG) from None
    except OSError as error:
        raise Failure(f"--folder: {folder} cannot be made: {error.strerror}", ExitCode.CONFIG) from None
    there = [str(file) for file in files if file.exists() or file.is_symlink()]
    if there:
        raise Failure(f"{' and '.join(there)} exists already and stays as it is", ExitCode.CONFIG)
    for file, text in zip(files, (STRATEGY, TEST), strict=True):
        try:
            with file.open("x", encoding="utf-8") as opened:
                opened.write(text.format(**words))
        except OSError as error:
            raise Failure(f"{file} cannot be written: {error.strerror}", ExitCode.CONFIG) from None
    return (*files, words["Class"])
