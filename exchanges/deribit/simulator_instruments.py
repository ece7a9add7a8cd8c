"""The contracts the Deribit simulator lists: made from their names, which say all about them.

    BTC-PERPETUAL  ETH-PERPETUAL          inverse: amounts in US dollars, money in coin
    BTC-25DEC26                           inverse, dated
    BTC-25DEC26-90000-C                   option: amounts, price and money in coin
    BTC_USDC-PERPETUAL  ETH_USDC-25DEC26  linear: amounts in coin, money in USDC

Numbers follow the venue's own get_instruments where one is known (recorded 2021 to 2026); any other base currency
before `_USDC` is linear with numbers derived from a price near 1. Options exist for inverse currencies only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from exchanges.simulator.errors import SimulatorError
from exchanges.simulator.instrument import Instrument

NEVER_MS: Final = 32_503_708_800_000
CREATED_MS: Final = 1_534_167_754_000
DAY_MS: Final = 24 * 3600 * 1000
HOUR_OF_EXPIRY: Final = 8
"""08:00 UTC, for settlements too."""
ENOUGH_DIGITS: Final = 12
"""The tick and the lot bound prices and amounts; decimals alone do not."""
OPTION_FEE: Final = Decimal("0.0003")
OPTION_STRIKE_STEP: Final = {"BTC": 2000, "ETH": 100}
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_NAME = re.compile(
    r"(?P<base>[A-Z0-9]{2,10})(?P<linear>_USDC)?-"
    r"(?:PERPETUAL|(?P<day>\d{1,2})(?P<month>[A-Z]{3})(?P<year>\d\d)(?:-(?P<strike>\d{1,7})-(?P<type>[CP]))?)\Z"
)

# base, linear: tick, amount step, contract size, most, reference price
_NUMBERS: Final[dict[tuple[str, bool], tuple[str, str, str, str, str]]] = {
    ("BTC", False): ("0.5", "10", "10", "10000000", "61000"),
    ("ETH", False): ("0.05", "1", "1", "10000000", "2680"),
    ("BTC", True): ("1", "0.001", "0.001", "500", "61000"),
    ("ETH", True): ("0.05", "0.001", "0.001", "10000", "2680"),
    ("SOL", True): ("0.01", "0.1", "0.1", "100000", "150"),
}
_DERIVED: Final = ("0.0001", "1", "1", "10000000", "1")
# base: tick, (from, tick) of options
_OPTION_TICKS: Final = {"BTC": ("0.0001", ("0.005", "0.0005")), "ETH": ("0.0001", ("0.005", "0.0005"))}


@dataclass(frozen=True, slots=True)
class Listing:
    """A contract with what the exchange core does not need to know."""

    instrument: Instrument
    kind: str
    """"future" (perpetuals too) or "option"."""
    index: str
    underlying: str
    """Perpetual that its market follows; its own name for a perpetual."""
    expiry_ms: int
    instrument_id: int
    contract_size: Decimal
    strike: int = 0
    is_call: bool = False
    leverage: int = 50

    @property
    def name(self) -> str:
        return self.instrument.symbol

    @property
    def perpetual(self) -> bool:
        return self.expiry_ms == NEVER_MS

    @property
    def option(self) -> bool:
        return self.kind == "option"

    @property
    def currency(self) -> str:
        """Of settlement, and the one that calls by currency mean."""
        return self.instrument.settle


def listing_for(name: str, maker_fee: Decimal, taker_fee: Decimal) -> Listing:
    """The contract named so; SimulatorError unless it is a name of the forms above."""
    found = _NAME.match(name)
    base, linear = (found["base"], found["linear"] is not None) if found else ("", False)
    option = found is not None and found["type"] is not None
    if (
        not found
        or (not linear and (base, False) not in _NUMBERS)
        or (option and (linear or base not in _OPTION_TICKS))
    ):
        raise SimulatorError(
            f"symbol {name!r}: the simulator lists names such as BTC-PERPETUAL, ETH-25DEC26, BTC-25DEC26-90000-C "
            "and BTC_USDC-PERPETUAL"
        )
    tick, step, size, most, reference = _NUMBERS.get((base, linear), _DERIVED)
    steps: tuple[tuple[Decimal, Decimal], ...] = ()
    if option:
        tick, (above, larger) = _OPTION_TICKS[base]
        steps = ((Decimal(above), Decimal(larger)),)
        step, size, most, reference = ("0.1" if base == "BTC" else "1"), "1", "5000", "0.05"
    instrument = Instrument(
        symbol=name,
        base=base,
        quote="USDC" if linear else base if option else "USD",
        tick_size=Decimal(tick),
        lot_size=Decimal(step),
        min_price=Decimal(tick),
        max_price=Decimal(10_000_000),
        min_quantity=Decimal(step),
        max_quantity=Decimal(most),
        market_max_quantity=Decimal(most),
        min_notional=Decimal(0),
        price_precision=ENOUGH_DIGITS,
        quantity_precision=ENOUGH_DIGITS,
        percent_price=Decimal(4) if option else Decimal("0.05"),
        max_open_orders=1000,
        reference_price=Decimal(reference),
        inverse=not linear and not option,
        option=option,
        tick_steps=steps,
        maker_fee=OPTION_FEE if option else maker_fee,
        taker_fee=OPTION_FEE if option else taker_fee,
    )
    return Listing(
        instrument,
        "option" if option else "future",
        f"{base.lower()}_{'usdc' if linear else 'usd'}",
        f"{base}_USDC-PERPETUAL" if linear else f"{base}-PERPETUAL",
        NEVER_MS if found["day"] is None else _expiry_ms(name, found["day"], found["month"], found["year"]),
        _instrument_id(name),
        Decimal(size),
        int(found["strike"] or 0),
        found["type"] == "C",
    )


def _expiry_ms(name: str, day: str, month: str, year: str) -> int:
    try:
        when = datetime(2000 + int(year), _MONTHS.index(month) + 1, int(day), HOUR_OF_EXPIRY, tzinfo=UTC)
    except ValueError:
        raise SimulatorError(f"symbol {name!r}: found no such date, expected one like 25DEC26") from None
    return int(when.timestamp() * 1000)


def _instrument_id(name: str) -> int:
    """The same for the same name in every run."""
    number = 0
    for character in name:
        number = (number * 131 + ord(character)) % 900_000
    return 100_000 + number


def date_name(when: datetime) -> str:
    return f"{when.day}{_MONTHS[when.month - 1]}{when:%y}"


def expiries(now_ms: int, count: int) -> list[str]:
    """The next Fridays that are more than two days away, as names tell them: `4DEC26`."""
    when = datetime.fromtimestamp(now_ms / 1000, UTC).replace(hour=HOUR_OF_EXPIRY, minute=0, second=0, microsecond=0)
    when += timedelta(days=3)
    when += timedelta(days=(4 - when.weekday()) % 7)
    return [date_name(when + timedelta(days=7 * week)) for week in range(count)]


def chain(base: str, now_ms: int, strikes_each_side: int) -> list[str]:
    """Names of a small option chain and its futures: two Fridays, strikes around the reference price."""
    step = OPTION_STRIKE_STEP[base]
    middle = round(int(_NUMBERS[(base, False)][4]) / step) * step
    names = []
    for date in expiries(now_ms, 2):
        names.append(f"{base}-{date}")
        for away in range(-strikes_each_side, strikes_each_side + 1):
            names += [f"{base}-{date}-{middle + away * step}-{letter}" for letter in "CP"]
    return names


def instrument_object(listing: Listing, state: str) -> dict[str, Any]:
    """A row of public/get_instruments."""
    instrument = listing.instrument
    linear = not instrument.inverse and not listing.option
    row: dict[str, Any] = {
        "instrument_name": listing.name,
        "instrument_id": listing.instrument_id,
        "kind": listing.kind,
        "instrument_type": "linear" if linear else "reversed",
        "base_currency": instrument.base,
        "quote_currency": instrument.quote,
        "counter_currency": "USDC" if linear else "USD",
        "settlement_currency": listing.currency,
        "settlement_period": "perpetual" if listing.perpetual else "week",
        "tick_size": instrument.tick_size,
        "tick_size_steps": [{"above_price": above, "tick_size": tick} for above, tick in instrument.tick_steps],
        "contract_size": listing.contract_size,
        "min_trade_amount": instrument.min_quantity,
        "maker_commission": instrument.maker_fee,
        "taker_commission": instrument.taker_fee,
        "block_trade_commission": Decimal("0.0003"),
        "block_trade_tick_size": instrument.tick_size,
        "block_trade_min_trade_amount": instrument.min_quantity * 1000,
        "price_index": listing.index,
        "creation_timestamp": CREATED_MS,
        "expiration_timestamp": listing.expiry_ms,
        "is_active": state not in ("delivered", "archivized"),
        "state": state,
        "rfq": False,
    }
    if listing.option:
        row["strike"] = Decimal(listing.strike)
        row["option_type"] = "call" if listing.is_call else "put"
    else:
        row["future_type"] = row["instrument_type"]
        row["max_leverage"] = listing.leverage
        row["max_liquidation_commission"] = Decimal("0.0075")
    return row
