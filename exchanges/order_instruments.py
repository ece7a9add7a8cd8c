"""What the order path knows of an instrument: its row of the instruments table, read once into plain attributes.

The rule: orders are integers, so nothing may be sent or understood before the scales are known; an engine is not ready
until every configured instrument has a row. Scales of a symbol never change while a process lives: a row that comes
with other scales is a reason to restart, and `refresh` says so.

Who calls it: order codecs, risk gate and engine of every venue, and their tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

from msgspec import Struct

from shm.layout import MONEY_SCALE, ROW_MASK, InstrumentStatus
from shm.records import InstrumentRow

_MONEY: Final = 10**MONEY_SCALE


class OrderInstrument(Struct, frozen=True):
    """One tradable instrument. Prices and quantities are mantissas of the two scales, notionals of MONEY_SCALE."""

    id: int
    symbol: str
    price_scale: int
    quantity_scale: int
    tick_size: int = 1
    lot_size: int = 1
    minimum_quantity: int = 0
    maximum_quantity: int = 0
    minimum_notional: int = 0
    contract_size: int = _MONEY
    inverse: bool = False
    status: int = InstrumentStatus.TRADING

    @property
    def row(self) -> int:
        """Its row in every table of the venue."""
        return self.id & ROW_MASK

    @property
    def venue(self) -> int:
        return self.id >> 16

    def notional(self, price: int, quantity: int) -> int:
        """price * quantity in MONEY_SCALE, rounded up: a limit must not be passed by a fraction. Of an inverse contract
        the quantity itself, which counts the quote currency whatever the price."""
        if self.inverse:
            unit: int = 10**self.quantity_scale
            return -(-quantity * self.contract_size // unit)
        divisor: int = 10 ** (self.price_scale + self.quantity_scale)
        return -(-price * quantity * self.contract_size // divisor)

    @classmethod
    def from_row(cls, row: InstrumentRow) -> OrderInstrument:
        return cls(
            id=row.instrument_id,
            symbol=row.symbol.decode(),
            price_scale=row.price_scale,
            quantity_scale=row.quantity_scale,
            tick_size=row.tick_size or 1,
            lot_size=row.lot_size or 1,
            minimum_quantity=row.minimum_quantity,
            maximum_quantity=row.maximum_quantity,
            minimum_notional=row.minimum_notional,
            contract_size=row.contract_size or _MONEY,
            inverse=bool(row.inverse),
            status=row.status,
        )


class ScalesChanged(Exception):
    """The venue changed the scales of a symbol: mantissas of before and after do not mean the same."""


class RowSource(Protocol):
    """TableReader of the instruments table, or what a test puts in its place."""

    def read(self, row: int, record: InstrumentRow) -> bool: ...


class OrderInstruments:
    """The configured instruments of one venue by id and by symbol."""

    def __init__(self, instruments: Iterable[OrderInstrument] = ()) -> None:
        self._by_id: dict[int, OrderInstrument] = {}
        self._by_symbol: dict[str, OrderInstrument] = {}
        self.by_id: Callable[[int], OrderInstrument | None] = self._by_id.get
        """By instrument id; the dictionary's own method, because every order asks."""
        for instrument in instruments:
            self.put(instrument)

    def put(self, instrument: OrderInstrument) -> None:
        """Add it, or replace its changed limits. Raises ScalesChanged."""
        known = self._by_id.get(instrument.id)
        if known is not None and (known.price_scale, known.quantity_scale) != (
            instrument.price_scale,
            instrument.quantity_scale,
        ):
            raise ScalesChanged(
                f"{instrument.symbol}: price and quantity scale were {known.price_scale} and {known.quantity_scale}, "
                f"the table now says {instrument.price_scale} and {instrument.quantity_scale}: restart this process"
            )
        self._by_id[instrument.id] = instrument
        self._by_symbol[instrument.symbol] = instrument

    def refresh(self, source: RowSource, wanted: Iterable[tuple[int, str]]) -> list[str]:
        """Read the rows of `wanted` (instrument id, symbol); returns the symbols that have no row yet."""
        missing = []
        record = InstrumentRow()
        for instrument_id, symbol in wanted:
            if source.read(instrument_id & ROW_MASK, record) and record.instrument_id == instrument_id:
                self.put(OrderInstrument.from_row(record))
            else:
                missing.append(symbol)
        return missing

    def by_symbol(self, symbol: str) -> OrderInstrument | None:
        return self._by_symbol.get(symbol)

    def __iter__(self) -> Iterator[OrderInstrument]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)
