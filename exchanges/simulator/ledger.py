"""The money of one account, in Decimal: wallet, positions, fees, realised and unrealised profit of linear contracts.

Rule of profit (one-way positions, average cost): `cost` is the exact sum price * quantity of what is open, in steps of
1e-8. An opening fill adds to it; a fill that reduces |Q| by q removes round_half_even(cost * q / |Q|) to 1e-8 and
realises the difference; a fill that flips closes first and opens the rest. A fee is notional * rate rounded half-even
to 1e-8. Sums are never rounded again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal

from exchanges.simulator.orders import Trade

ZERO = Decimal(0)
MONEY_STEP = Decimal("1e-8")
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
"""60 digits: products of prices, quantities and costs stay exact before the one rounding each rule names."""


def money(value: Decimal) -> Decimal:
    """`value` rounded half-even to 1e-8."""
    return value.quantize(MONEY_STEP, context=_EXACT)


def fee_of(price: Decimal, quantity: Decimal, rate: Decimal) -> Decimal:
    """Commission of one fill; negative for a rebate."""
    return money(_EXACT.multiply(_EXACT.multiply(price, quantity), rate))


@dataclass(slots=True)
class Position:
    """Signed `quantity`, unsigned `cost`; `realized` and `fees` are totals since the account began."""

    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realized: Decimal = ZERO
    fees: Decimal = ZERO
    update_ms: int = 0

    def fill(self, is_buy: bool, price: Decimal, quantity: Decimal) -> Decimal:
        """Move the position; the profit this fill realised, before its fee."""
        signed = quantity if is_buy else -quantity
        if self.quantity * signed >= 0:
            self.cost = _EXACT.add(self.cost, _EXACT.multiply(price, quantity))
            self.quantity += signed
            return ZERO
        held = abs(self.quantity)
        reduced = min(held, quantity)
        removed = money(_EXACT.divide(_EXACT.multiply(self.cost, reduced), held))
        proceeds = _EXACT.multiply(price, reduced)
        realized = proceeds - removed if self.quantity > 0 else removed - proceeds
        self.cost -= removed
        self.quantity += reduced if is_buy else -reduced
        self.realized += realized
        if quantity > reduced:
            self.fill(is_buy, price, quantity - reduced)
        return realized

    @property
    def entry_price(self) -> Decimal:
        return _EXACT.divide(self.cost, abs(self.quantity)) if self.quantity else ZERO

    def unrealized(self, mark: Decimal) -> Decimal:
        """quantity * mark - signed cost, rounded half-even to 1e-8."""
        signed_cost = self.cost if self.quantity >= 0 else -self.cost
        return money(_EXACT.subtract(_EXACT.multiply(self.quantity, mark), signed_cost))


@dataclass(slots=True)
class Account:
    """One account's wallet (one settlement asset), positions by symbol and trades in order."""

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

    def __post_init__(self) -> None:
        self.initial_wallet = self.wallet

    def position(self, symbol: str) -> Position:
        return self.positions.setdefault(symbol, Position())

    def leverage_of(self, symbol: str) -> int:
        return self.leverages.get(symbol, self.leverage)

    def apply(
        self, symbol: str, is_buy: bool, price: Decimal, quantity: Decimal, maker: bool, time_ms: int
    ) -> tuple[Decimal, Decimal]:
        """Book one fill; (fee, realised profit)."""
        position = self.position(symbol)
        fee = fee_of(price, quantity, self.maker_rate if maker else self.taker_rate)
        realized = position.fill(is_buy, price, quantity)
        position.fees += fee
        position.update_ms = time_ms
        self.wallet += realized - fee
        return fee, realized

    @property
    def fees(self) -> Decimal:
        return sum((position.fees for position in self.positions.values()), ZERO)

    @property
    def realized(self) -> Decimal:
        return sum((position.realized for position in self.positions.values()), ZERO)
