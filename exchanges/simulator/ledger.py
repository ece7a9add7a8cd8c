"""The money of one account, in Decimal: wallet, positions, fees, funding, realised and unrealised profit.

Rule of profit (one-way positions, average cost): `cost` is the value of what is open at the prices it was opened at. An
opening fill adds to it; a fill that reduces |Q| by q removes cost * q / |Q| and realises the difference; a fill that
flips closes first and opens the rest. Sums are never rounded again. All roundings are half-even.

                   linear (money: quote currency)            inverse (money: base currency, the "coin")
    quantity       base units                                quote units: US dollars
    value          price * quantity, exact                   quantity / price, to 1e-18
    removed cost   to 1e-8                                   to 1e-18
    realised       proceeds - removed for a long position    removed - proceeds for a long one, to 1e-8
    unrealised     quantity * mark - signed cost, to 1e-8    signed cost - quantity / mark, to 1e-8
    fee            price * quantity * rate, to 1e-8          quantity / price * rate, to 1e-8

The inverse column is s * A * (1 / average price - 1 / exit) with average price = sum of A / sum of A / price: Deribit's
"inverse" profit formula. 1e-18 is fine enough that ten dollars at 60,000 keep their entry price to 12 digits.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal

from exchanges.simulator.orders import Trade

ZERO = Decimal(0)
MONEY_STEP = Decimal("1e-8")
COIN_STEP = Decimal("1e-18")
OPTION_FEE_CAP = Decimal("0.125")
"""Deribit's: an option's fee is never more than 12.5 % of its price."""
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
"""60 digits: products of prices, quantities and costs stay exact before the one rounding each rule names."""


def money(value: Decimal) -> Decimal:
    """`value` rounded half-even to 1e-8."""
    return value.quantize(MONEY_STEP, context=_EXACT)


def coins(value: Decimal) -> Decimal:
    """`value` rounded half-even to 1e-18."""
    return value.quantize(COIN_STEP, context=_EXACT)


def fee_of(price: Decimal, quantity: Decimal, rate: Decimal) -> Decimal:
    """Commission of one fill of a linear contract; negative for a rebate."""
    return money(_EXACT.multiply(_EXACT.multiply(price, quantity), rate))


def inverse_fee_of(price: Decimal, quantity: Decimal, rate: Decimal) -> Decimal:
    """Commission of one fill of an inverse contract, in coin; negative for a rebate."""
    return money(_EXACT.divide(_EXACT.multiply(quantity, rate), price))


@dataclass(slots=True)
class Position:
    """A linear contract. Signed `quantity`, unsigned `cost`; the other sums are totals since the account began.

    `funding` is what was received (positive) or paid; no other figure contains it.
    """

    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realized: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    update_ms: int = 0

    # --- what an inverse contract does in another way ----------------------------------------------------------------
    def value(self, price: Decimal, quantity: Decimal) -> Decimal:
        """What `quantity` > 0 is worth at this price."""
        return _EXACT.multiply(price, quantity)

    def removed(self, reduced: Decimal, held: Decimal) -> Decimal:
        """The part of the cost that `reduced` of `held` takes along."""
        return money(_EXACT.divide(_EXACT.multiply(self.cost, reduced), held))

    def long_profit(self, removed: Decimal, proceeds: Decimal) -> Decimal:
        """Of a long position that gave up `removed` for `proceeds`; of a short one the negative."""
        return proceeds - removed

    def fee(self, price: Decimal, quantity: Decimal, rate: Decimal) -> Decimal:
        return fee_of(price, quantity, rate)

    @property
    def entry_price(self) -> Decimal:
        return _EXACT.divide(self.cost, abs(self.quantity)) if self.quantity else ZERO

    def unrealized(self, mark: Decimal) -> Decimal:
        signed_cost = self.cost if self.quantity >= 0 else -self.cost
        return money(_EXACT.subtract(_EXACT.multiply(self.quantity, mark), signed_cost))

    # --- the same for both -------------------------------------------------------------------------------------------
    def fill(self, is_buy: bool, price: Decimal, quantity: Decimal) -> Decimal:
        """Move the position; the profit this fill realised, before its fee."""
        signed = quantity if is_buy else -quantity
        if self.quantity * signed >= 0:
            self.cost = _EXACT.add(self.cost, self.value(price, quantity))
            self.quantity += signed
            return ZERO
        held = abs(self.quantity)
        reduced = min(held, quantity)
        removed = self.removed(reduced, held)
        profit = self.long_profit(removed, self.value(price, reduced))
        realized = profit if self.quantity > 0 else -profit
        self.cost = _EXACT.subtract(self.cost, removed)
        self.quantity += reduced if is_buy else -reduced
        self.realized += realized
        if quantity > reduced:
            self.fill(is_buy, price, quantity - reduced)
        return realized


@dataclass(slots=True)
class InversePosition(Position):
    """An inverse contract: `quantity` in quote units, everything else in coin."""

    def value(self, price: Decimal, quantity: Decimal) -> Decimal:
        return coins(_EXACT.divide(quantity, price))

    def removed(self, reduced: Decimal, held: Decimal) -> Decimal:
        return coins(_EXACT.divide(_EXACT.multiply(self.cost, reduced), held))

    def long_profit(self, removed: Decimal, proceeds: Decimal) -> Decimal:
        return money(_EXACT.subtract(removed, proceeds))

    def fee(self, price: Decimal, quantity: Decimal, rate: Decimal) -> Decimal:
        return inverse_fee_of(price, quantity, rate)

    @property
    def entry_price(self) -> Decimal:
        return _EXACT.divide(abs(self.quantity), self.cost) if self.quantity else ZERO

    def unrealized(self, mark: Decimal) -> Decimal:
        signed_cost = self.cost if self.quantity >= 0 else -self.cost
        return money(_EXACT.subtract(signed_cost, _EXACT.divide(self.quantity, mark)))


@dataclass(slots=True)
class OptionPosition(Position):
    """An option: linear in the currency it is quoted in, but its fee goes by quantity and is capped by the premium."""

    def fee(self, price: Decimal, quantity: Decimal, rate: Decimal) -> Decimal:
        by_quantity = _EXACT.multiply(quantity, rate)
        return money(min(by_quantity, _EXACT.multiply(_EXACT.multiply(price, quantity), OPTION_FEE_CAP)))


@dataclass(slots=True)
class Account:
    """One account's wallet (one settlement asset), positions by symbol and trades in order.

    `inverse`, `options`: the symbols that are such contracts; `rates`: (maker, taker) of the symbols that have their
    own. The exchange that the account is added to fills them in.
    """

    name: str
    asset: str
    wallet: Decimal
    maker_rate: Decimal
    taker_rate: Decimal
    leverage: int = 20
    initial_wallet: Decimal = ZERO
    positions: dict[str, Position] = field(default_factory=dict)
    leverages: dict[str, int] = field(default_factory=dict)
    trades: list[Trade] = field(default_factory=list)
    inverse: Collection[str] = frozenset()
    options: Collection[str] = frozenset()
    rates: Mapping[str, tuple[Decimal, Decimal]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.initial_wallet = self.wallet

    def position(self, symbol: str) -> Position:
        found = self.positions.get(symbol)
        if found is None:
            found = self.positions[symbol] = self.new_position(symbol)
        return found

    def new_position(self, symbol: str) -> Position:
        """An empty position of the symbol's kind."""
        if symbol in self.inverse:
            return InversePosition()
        return OptionPosition() if symbol in self.options else Position()

    def leverage_of(self, symbol: str) -> int:
        return self.leverages.get(symbol, self.leverage)

    def apply(
        self, symbol: str, is_buy: bool, price: Decimal, quantity: Decimal, maker: bool, time_ms: int
    ) -> tuple[Decimal, Decimal]:
        """Book one fill; (fee, realised profit)."""
        position = self.position(symbol)
        maker_rate, taker_rate = self.rates.get(symbol, (self.maker_rate, self.taker_rate))
        fee = position.fee(price, quantity, maker_rate if maker else taker_rate)
        realized = position.fill(is_buy, price, quantity)
        position.fees += fee
        position.update_ms = time_ms
        self.wallet += realized - fee
        return fee, realized

    def fund(self, symbol: str, amount: Decimal) -> None:
        """Book a funding payment: positive = received."""
        self.position(symbol).funding += amount
        self.wallet += amount

    @property
    def fees(self) -> Decimal:
        return sum((position.fees for position in self.positions.values()), ZERO)

    @property
    def realized(self) -> Decimal:
        return sum((position.realized for position in self.positions.values()), ZERO)

    @property
    def funding(self) -> Decimal:
        return sum((position.funding for position in self.positions.values()), ZERO)
