"""MiniPMS: position, cost and profit of each strategy, in integers, moved by fills and by nothing else.

The rule (linear contracts, one-way, average cost)
--------------------------------------------------
Money is counted in units of 1e-8 of the quote currency. Q is the signed position, C the signed cost of what is held
(C has the sign of Q), both start at 0.
- A fill that opens or adds moves C by price * quantity, exactly.
- A fill that takes q off |Q| removes round_half_even(|C| * q / |Q|) from |C|, and realises
  q * price - removed for a long position, removed - q * price for a short one.
- A fill larger than the position closes it (removing all of C, so no crumb is left) and opens the rest.
- Fees are kept per currency, as reported, summed exactly; positive = paid.
- Unrealised = round_half_even(Q * mark - C), taken exactly before the one rounding.
`LinearRule` holds these formulae. Inverse contracts (quantity in quote units, settled in base currency, profit
quantity * (1 / entry - 1 / exit)) need a second rule beside it; until it exists they are refused, not approximated.

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

from shm.layout import MONEY_SCALE, Side

if TYPE_CHECKING:
    from collections.abc import Callable

    from shm.records import PositionRow
    from strategy.instrument import Instrument
    from strategy.mini_oms import Working

MONEY_UNIT: Final = 10**MONEY_SCALE
ACCOUNT: Final = 0
"""Strategy id of what belongs to no strategy."""


class UnsupportedContract(ValueError):
    """No money rule for this kind of contract; one sentence."""


def round_half_even_ratio(numerator: int, denominator: int) -> int:
    """numerator / denominator to the nearest integer, halves to the even one. denominator > 0."""
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    if twice > denominator or (twice == denominator and quotient & 1):
        quotient += 1
    return quotient


class LinearRule:
    """Money of a linear contract of one instrument, in 1e-8 of the quote currency (module docstring)."""

    __slots__ = ("_divisor", "_factor", "_mark_divisor")

    def __init__(self, instrument: Instrument) -> None:
        if instrument.inverse:
            raise UnsupportedContract(
                f"{instrument.name} is an inverse contract, expected a linear one: no profit rule for it yet"
            )
        self._factor = instrument.notional_factor
        self._divisor = instrument.notional_divisor
        # mark has MONEY_SCALE decimals: Q * mark * contract_size / 10**(quantity_scale + 8) is in 1e-8.
        self._mark_divisor = 10**instrument.quantity_scale * MONEY_UNIT

    def value(self, price_mantissa: int, quantity_mantissa: int) -> int:
        """price * quantity. Exact wherever the venue's price and quantity decimals add up to 8 or fewer."""
        if self._divisor == 1:
            return price_mantissa * quantity_mantissa * self._factor
        return round_half_even_ratio(price_mantissa * quantity_mantissa * self._factor, self._divisor)

    def unrealized(self, position: int, cost: int, mark_mantissa: int, contract_size: int) -> int:
        divisor = self._mark_divisor
        return round_half_even_ratio(position * mark_mantissa * contract_size - cost * divisor, divisor)


class Position:
    """What one strategy holds of one instrument. Integers inside, floats for the strategy, which only reads."""

    __slots__ = (
        "cost_mantissa",
        "fees",
        "fills",
        "instrument",
        "last_fill_time_ns",
        "position_mantissa",
        "realized_mantissa",
        "rule",
        "strategy_id",
        "working",
    )

    def __init__(self, strategy_id: int, instrument: Instrument, working: Working) -> None:
        self.strategy_id = strategy_id
        self.instrument = instrument
        self.rule = LinearRule(instrument)
        self.working = working
        self.position_mantissa = 0
        self.cost_mantissa = 0
        self.realized_mantissa = 0
        self.fees: dict[str, int] = {}
        self.fills = 0
        self.last_fill_time_ns = 0
        """Venue UTC of the newest fill applied."""

    # --- floats for strategies --------------------------------------------------------------------------------------
    @property
    def position(self) -> float:
        return self.instrument.quantity_of(self.position_mantissa)

    @property
    def average_price(self) -> float:
        """Of what is held; NaN when flat."""
        if self.position_mantissa == 0:
            return float("nan")
        value_of_one = self.position * self.instrument.contract_size / MONEY_UNIT
        return self.cost_mantissa / MONEY_UNIT / value_of_one

    @property
    def realized_pnl(self) -> float:
        """Before fees, quote currency."""
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
        """At a mark price with MONEY_SCALE decimals."""
        return self.rule.unrealized(
            self.position_mantissa, self.cost_mantissa, mark_mantissa, self.instrument.contract_size
        )

    # --- the rule ---------------------------------------------------------------------------------------------------
    def apply(self, side: int, price_mantissa: int, quantity_mantissa: int) -> None:
        """Move by one fill. Exact; see the module docstring."""
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
        if held > 0:
            self.realized_mantissa += value - removed
            self.cost_mantissa -= removed
            self.position_mantissa = held - taken
        else:
            self.realized_mantissa += removed - value
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
        """The same object for ever. Raises UnsupportedContract for a contract without a money rule."""
        key = (strategy_id, instrument.id)
        found = self._positions.get(key)
        if found is None:
            found = self._positions[key] = Position(strategy_id, instrument, self._working_of(*key))
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

    def apply_fee(self, strategy_id: int, instrument: Instrument, currency: str, fee_mantissa: int) -> Position:
        """Add a fee (positive = paid) of a trade."""
        position = self.position(strategy_id, instrument)
        position.fees[currency] = position.fees.get(currency, 0) + fee_mantissa
        return position

    # --- profit -----------------------------------------------------------------------------------------------------
    def profit(self, strategy_id: int, marks: dict[int, int]) -> int | None:
        """Realised + unrealised - fees in settle currency over a strategy's instruments, in 1e-8.

        `marks`: mark price mantissa (MONEY_SCALE) by instrument id. None where one is held and has no mark.
        Fees in another currency than the settle currency are left out: no rate is known here.
        """
        total = 0
        for position in self.positions_of(strategy_id):
            total += position.realized_mantissa - position.fees.get(position.instrument.settle_currency, 0)
            if position.position_mantissa:
                mark = marks.get(position.instrument.id)
                if mark is None:
                    return None
                total += position.unrealized_mantissa(mark)
        return total

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
                self._take_over(instrument, row, row.position)

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

    def _take_over(self, instrument: Instrument, row: PositionRow, position_mantissa: int) -> None:
        """Set the owner's position, its cost by the venue's entry price (a float, rounded to the price scale)."""
        position = self.position(self.owner_of(instrument.id), instrument)
        price = round(row.entry_price * instrument.price_unit)
        cost = position.rule.value(price, abs(position_mantissa))
        position.set_to(position_mantissa, cost if position_mantissa > 0 else -cost)
