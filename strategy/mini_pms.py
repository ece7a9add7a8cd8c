"""MiniPMS: position, cost and profit of each strategy, in integers, moved by fills and by nothing else.

Money
-----
`contract_money.py` has the rule of a fill, linear and inverse. Realised and unrealised profit are in 1e-8 of the
instrument's settle currency; fees and funding are kept per currency, as reported, summed exactly.
`profit` adds a strategy's instruments up in dollars: the currencies of DOLLARS count as one, any other is converted at
the mark of an instrument known here whose base it is (of an inverse contract: its own). A fee in a currency without
such a mark is left out and named in `fees_without_rate`; a profit that cannot be converted is None, never a guess.
No record tells the trader of funding so far: what a venue paid is in the account's balance row only, and that names
neither instrument nor strategy. `apply_funding` is for who knows it.

Whose position
--------------
Positions are kept by (strategy, instrument). The venue knows only the account, so `reconcile` compares its row with the
sum over the strategies. What the account holds besides goes to the instrument's *owner*: the strategy that alone trades
it, or ACCOUNT where none or several do. Fills of orders that are not ours go to ACCOUNT.

Reconciling happens in one named place, `reconcile`. Fills and position rows travel on different ways, so a difference
counts only when the row is not older than our last fill, and the same difference has stood for a grace period in
which neither side moved. Then the position is corrected, `reconcile_corrections` counts it, and fills not newer than
that row are no longer applied to the position (they are in it). The first row ("seed") is no correction.

Called by the container. One thread, no I/O.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from shm.layout import Side
from strategy.contract_money import MONEY_UNIT, round_half_even_ratio, rule_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from shm.records import PositionRow
    from strategy.instrument import Instrument
    from strategy.order import Order, Working

ACCOUNT: Final = 0
"""Strategy id of what belongs to no strategy."""
DOLLARS: Final = frozenset({"USD", "USDT", "USDC", "FDUSD", "BUSD", "USDE", "USD1"})
"""Currencies that limits and sums take for one dollar each: what their peg is worth is not this system's business."""


class Position:
    """What one strategy holds of one instrument. Integers inside, floats for the strategy, which only reads."""

    __slots__ = (
        "cost_mantissa",
        "fees",
        "fills",
        "funding",
        "instrument",
        "last_fill_time_ns",
        "position_mantissa",
        "realized_mantissa",
        "rule",
        "seed_cost_mantissa",
        "seed_mantissa",
        "strategy_id",
        "working",
    )

    def __init__(self, strategy_id: int, instrument: Instrument, working: Working) -> None:
        self.strategy_id = strategy_id
        self.instrument = instrument
        self.rule = rule_of(instrument)
        self.working = working
        self.position_mantissa = 0
        self.cost_mantissa = 0
        """In `rule.cost_unit`ths of the settle currency; has the sign of the position."""
        self.realized_mantissa = 0
        self.fees: dict[str, int] = {}
        """1e-8 by currency; positive = paid."""
        self.funding: dict[str, int] = {}
        """1e-8 by currency; positive = received."""
        self.seed_mantissa = self.seed_cost_mantissa = 0
        """Position and cost that it began with, when this trader took it over."""
        self.fills = 0
        self.last_fill_time_ns = 0
        """Venue UTC of the newest fill applied."""

    # --- floats for strategies --------------------------------------------------------------------------------------
    @property
    def position(self) -> float:
        return self.instrument.quantity_of(self.position_mantissa)

    @property
    def average_price(self) -> float:
        """Of what is held; NaN when flat, or where the venue did not say at what price it was entered."""
        if self.cost_mantissa == 0:
            return float("nan")
        return self.rule.average_price(self.position_mantissa, self.cost_mantissa)

    @property
    def realized_pnl(self) -> float:
        """Before fees and funding, in the settle currency."""
        return self.realized_mantissa / MONEY_UNIT

    @property
    def fees_paid(self) -> float:
        """In the settle currency; other currencies stand in `fees`."""
        return self.fees.get(self.instrument.settle_currency, 0) / MONEY_UNIT

    @property
    def lowest_mantissa(self) -> int:
        """The position if every sell that may still trade does, and no buy."""
        return self.position_mantissa - self.working.sell

    @property
    def highest_mantissa(self) -> int:
        """The position if every buy that may still trade does, and no sell."""
        return self.position_mantissa + self.working.buy

    @property
    def exposure(self) -> tuple[float, float]:
        """Lowest and highest position that the orders out there can still lead to."""
        return self.instrument.quantity_of(self.lowest_mantissa), self.instrument.quantity_of(self.highest_mantissa)

    def unrealized_mantissa(self, mark_mantissa: int) -> int:
        """At a mark price with MONEY_SCALE decimals, in 1e-8 of the settle currency."""
        if self.position_mantissa == 0:
            return 0
        return self.rule.unrealized(self.position_mantissa, self.cost_mantissa, mark_mantissa)

    # --- the rule ---------------------------------------------------------------------------------------------------
    def apply(self, side: int, price_mantissa: int, quantity_mantissa: int) -> None:
        """Move by one fill (contract_money.py)."""
        held = self.position_mantissa
        signed = quantity_mantissa if side == Side.BUY else -quantity_mantissa
        self.fills += 1
        if held == 0 or (held > 0) == (signed > 0):
            value = self.rule.value(price_mantissa, quantity_mantissa)
            self.cost_mantissa += value if signed > 0 else -value
            self.position_mantissa = held + signed
            return
        size = abs(held)
        taken = min(quantity_mantissa, size)
        cost = abs(self.cost_mantissa)
        removed = round_half_even_ratio(cost * taken, size)
        value = self.rule.value(price_mantissa, taken)
        profit = self.rule.long_profit(removed, value)
        if held > 0:
            self.realized_mantissa += profit
            self.cost_mantissa -= removed
            self.position_mantissa = held - taken
        else:
            self.realized_mantissa -= profit
            self.cost_mantissa += removed
            self.position_mantissa = held + taken
        rest = quantity_mantissa - taken
        if rest:
            value = self.rule.value(price_mantissa, rest)
            self.position_mantissa = rest if signed > 0 else -rest
            self.cost_mantissa = value if signed > 0 else -value

    def set_to(self, position_mantissa: int, cost_mantissa: int) -> None:
        """Take over a position from outside; nothing is realised."""
        self.position_mantissa = position_mantissa
        self.cost_mantissa = cost_mantissa if position_mantissa else 0

    def __repr__(self) -> str:
        return f"Position({self.instrument.name}, {self.position}, realized {self.realized_pnl})"


class _Difference:
    """A difference that is being watched: the same row and the same sum since `since_ns`."""

    __slots__ = ("key", "since_ns")

    def __init__(self, key: tuple[int, int, int], since_ns: int) -> None:
        self.key = key
        self.since_ns = since_ns


class MiniPMS:
    """Positions of all strategies of this trader."""

    def __init__(
        self,
        working_of: Callable[[int, int], Working],
        logger: logging.Logger | None = None,
        grace_ns: int = 3_000_000_000,
    ) -> None:
        """`working_of(strategy_id, instrument_id)` gives MiniOMS's running totals. `grace_ns` as in the docstring."""
        self._working_of = working_of
        self.log = logger or logging.getLogger(__name__)
        self.grace_ns = grace_ns
        self._positions: dict[tuple[int, int], Position] = {}
        self._owners: dict[int, int] = {}
        self._snapshot_time_ns: dict[int, int] = {}
        self._differences: dict[int, _Difference] = {}
        self._instruments: dict[int, Instrument] = {}
        self.fees_without_rate: set[str] = set()
        self.reconcile_corrections = 0
        self.fills_in_snapshot = 0

    # --- who and what -----------------------------------------------------------------------------------------------
    def set_owner(self, instrument_id: int, strategy_id: int) -> None:
        """Name a strategy that trades an instrument; the second one makes ACCOUNT the owner."""
        known = self._owners.get(instrument_id)
        self._owners[instrument_id] = strategy_id if known in (None, strategy_id) else ACCOUNT

    def owner_of(self, instrument_id: int) -> int:
        return self._owners.get(instrument_id, ACCOUNT)

    def position(self, strategy_id: int, instrument: Instrument) -> Position:
        """The same object for ever."""
        key = (strategy_id, instrument.id)
        found = self._positions.get(key)
        if found is None:
            found = self._positions[key] = Position(strategy_id, instrument, self._working_of(*key))
            self._instruments[instrument.id] = instrument
        return found

    def positions_of(self, strategy_id: int) -> list[Position]:
        return [position for (owner, _), position in self._positions.items() if owner == strategy_id]

    def net_position(self, instrument_id: int) -> int:
        """Sum over all strategies: what the account should hold, quantity mantissa."""
        return sum(held.position_mantissa for (_, of), held in self._positions.items() if of == instrument_id)

    # --- fills ------------------------------------------------------------------------------------------------------
    def apply_fill(
        self, strategy_id: int, instrument: Instrument, side: int, price_mantissa: int, quantity_mantissa: int,
        exchange_time_ns: int,
    ) -> Position | None:  # fmt: skip
        """Move a position by one fill. None where a snapshot that was taken over already contains it."""
        snapshot = self._snapshot_time_ns.get(instrument.id, 0)
        if exchange_time_ns and exchange_time_ns <= snapshot:
            self.fills_in_snapshot += 1
            return None
        position = self.position(strategy_id, instrument)
        position.apply(side, price_mantissa, quantity_mantissa)
        if exchange_time_ns > position.last_fill_time_ns:
            position.last_fill_time_ns = exchange_time_ns
        return position

    def apply_fee(
        self, strategy_id: int, instrument: Instrument, currency: str, fee_mantissa: int, exchange_time_ns: int = 0
    ) -> Position:
        """Add a fee (positive = paid) of a trade; of a trade that a snapshot already contains, nothing.

        `exchange_time_ns` of the trade; 0 = not known here yet.
        """
        position = self.position(strategy_id, instrument)
        if not 0 < exchange_time_ns <= self._snapshot_time_ns.get(instrument.id, 0):
            position.fees[currency] = position.fees.get(currency, 0) + fee_mantissa
        return position

    def apply_funding(self, strategy_id: int, instrument: Instrument, currency: str, amount_mantissa: int) -> Position:
        """Add a funding payment (positive = received)."""
        position = self.position(strategy_id, instrument)
        position.funding[currency] = position.funding.get(currency, 0) + amount_mantissa
        return position

    # --- profit -----------------------------------------------------------------------------------------------------
    def profit(self, strategy_id: int, marks: dict[int, int]) -> int | None:
        """Realised + unrealised - fees + funding over a strategy's instruments, in 1e-8 of a dollar (docstring).

        `marks`: mark price mantissa (MONEY_SCALE) by instrument id. None where a mark is missing that is needed.
        """
        total = 0
        for position in self.positions_of(strategy_id):
            cash = {position.instrument.settle_currency: position.realized_mantissa}
            if position.position_mantissa:
                mark = marks.get(position.instrument.id)
                if mark is None:
                    return None
                cash[position.instrument.settle_currency] += position.unrealized_mantissa(mark)
            for currency, amount in position.funding.items():
                cash[currency] = cash.get(currency, 0) + amount
            for currency, amount in cash.items():
                dollars = self.dollars(currency, amount, marks)
                if dollars is None:
                    return None
                total += dollars
            for currency, fee in position.fees.items():
                dollars = self.dollars(currency, fee, marks)
                if dollars is not None:
                    total -= dollars
                elif currency not in self.fees_without_rate:
                    self.fees_without_rate.add(currency)
                    self.log.warning("fees in %s are left out of the profit: no instrument here prices it", currency)
        return total

    def taken_over_profit(self, strategy_id: int, marks: dict[int, int]) -> int | None:
        """What a strategy's positions had gained when they were seeded, at these marks; in 1e-8 of a dollar.

        None where a mark is missing that is needed.
        """
        total = 0
        for position in self.positions_of(strategy_id):
            if position.seed_mantissa:
                mark = marks.get(position.instrument.id)
                if mark is None:
                    return None
                gained = position.rule.unrealized(position.seed_mantissa, position.seed_cost_mantissa, mark)
                dollars = self.dollars(position.instrument.settle_currency, gained, marks)
                if dollars is None:
                    return None
                total += dollars
        return total

    def open_loss(self, strategy_id: int, marks: dict[int, int], orders: Iterable[Order]) -> int | None:
        """What the worse end of the range adds to the profit (<= 0): every order that would lose against the mark
        trades now, no other does. In 1e-8 of a dollar; None where a mark is missing that is needed.

        `orders`: those of the strategy that are open.
        """
        total = 0
        for order in orders:
            instrument, leaves = order.instrument, order.counted_leaves
            worst = 0
            # A replace on its way may trade at either price; a market order trades at the market and loses nothing.
            for price in (order.price_mantissa, order.pending_price_mantissa):
                if not leaves or not price:
                    continue
                mark = marks.get(instrument.id)
                if mark is None:
                    return None
                rule = self.position(strategy_id, instrument).rule
                signed = leaves if order.side == Side.BUY else -leaves
                value = rule.value(price, leaves)
                result = rule.unrealized(signed, value if signed > 0 else -value, mark)
                dollars = self.dollars(instrument.settle_currency, result, marks)
                if dollars is None:
                    return None
                worst = min(worst, dollars)
            total += worst
        return total

    def dollars(self, currency: str, amount: int, marks: dict[int, int]) -> int | None:
        """An amount of a currency in dollars, both in 1e-8, halves to even. None where no mark here prices it."""
        if amount == 0 or currency in DOLLARS:
            return amount
        for instrument in self._instruments.values():
            mark = marks.get(instrument.id)
            if mark and instrument.base_currency == currency and instrument.quote_currency in DOLLARS:
                return round_half_even_ratio(amount * mark, MONEY_UNIT)
        return None

    # --- the venue's own figures ------------------------------------------------------------------------------------
    def seed(self, instrument: Instrument, row: PositionRow | None) -> None:
        """Take the position over at the start of this trader; later calls for the instrument do nothing.

        To be called before the first recovery: fills that the row already contains are then not applied twice.

        `row` None or not valid: flat. The cost comes from the venue's entry price, which is a float: of what was
        opened before this start, only an approximate cost can be known.
        """
        if instrument.id in self._snapshot_time_ns:
            return
        self._snapshot_time_ns[instrument.id] = 0
        if row is not None and row.valid:
            self._snapshot_time_ns[instrument.id] = row.exchange_time_ns
            if row.position:
                owner = self._take_over(instrument, row, row.position)
                owner.seed_mantissa, owner.seed_cost_mantissa = owner.position_mantissa, owner.cost_mantissa

    def reconcile(self, instrument: Instrument, row: PositionRow, now_ns: int) -> int:
        """Compare the venue's row with ours; returns the correction made (quantity mantissa), nearly always 0."""
        if not row.valid or instrument.id not in self._snapshot_time_ns:
            return 0
        ours = self.net_position(instrument.id)
        difference = row.position - ours
        if difference == 0 or row.exchange_time_ns < self._last_fill_time_ns(instrument.id):
            self._differences.pop(instrument.id, None)
            return 0
        key = (row.position, ours, row.exchange_time_ns)
        watched = self._differences.get(instrument.id)
        if watched is None or watched.key != key:
            self._differences[instrument.id] = _Difference(key, now_ns)
            return 0
        if now_ns - watched.since_ns < self.grace_ns:
            return 0
        del self._differences[instrument.id]
        self._snapshot_time_ns[instrument.id] = row.exchange_time_ns
        owner = self.position(self.owner_of(instrument.id), instrument)
        self.log.error(
            "%s: the venue holds %s and our fills make %s; taking over the venue's", instrument.name,
            instrument.quantity_of(row.position), instrument.quantity_of(ours),
        )  # fmt: skip
        self._take_over(instrument, row, owner.position_mantissa + difference)
        self.reconcile_corrections += 1
        return difference

    def _last_fill_time_ns(self, instrument_id: int) -> int:
        return max(
            (held.last_fill_time_ns for (_, of), held in self._positions.items() if of == instrument_id), default=0
        )

    def _take_over(self, instrument: Instrument, row: PositionRow, position_mantissa: int) -> Position:
        """Set the owner's position, its cost by the venue's entry price."""
        position = self.position(self.owner_of(instrument.id), instrument)
        cost = 0
        if row.entry_price > 0.0:
            cost = position.rule.cost_of(row.entry_price, abs(position_mantissa))
        elif position_mantissa:
            self.log.error("%s: the venue names no entry price; the profit of what is held is wrong", instrument.name)
        position.set_to(position_mantissa, cost if position_mantissa > 0 else -cost)
        return position
