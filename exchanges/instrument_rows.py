"""Instrument rows between a venue's reply and the table: scales, symbols that are not there, and what is kept of them
for a start while the venue is away.

The rule: a row never changes its scales while a process lives: mantissas already published would change their meaning.

Who calls it: the instruments module and the subscriber of every venue.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from exchanges.adapter import ConfigurationError, InstrumentIds
from shm import layout
from shm.records import InstrumentRow


class Scales(NamedTuple):
    """Decimals of an instrument's price and quantity mantissas."""

    price: int
    quantity: int


def scales_of(rows: Iterable[InstrumentRow]) -> dict[str, Scales]:
    """Symbol -> decimals, as codecs take them."""
    return {row.symbol.decode(): Scales(row.price_scale, row.quantity_scale) for row in rows}


def require_symbols(venue: str, symbols: Iterable[str], known: Collection[str]) -> None:
    """Raises ConfigurationError naming each configured symbol that the venue does not have, and what comes close."""
    missing = [symbol for symbol in symbols if symbol not in known]
    if missing:
        raise ConfigurationError("; ".join(_missing(venue, symbol, known) for symbol in missing))


def _missing(venue: str, symbol: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(symbol.upper(), known, n=3)
    hint = f", it has {', '.join(close)}" if close else ""
    return f"venues.{venue}.symbols: the venue has no symbol {symbol!r}{hint}"


# --- the last rows, kept over restarts --------------------------------------------------------------------------------
def rows_file(state_dir: Path, venue: str) -> Path:
    return state_dir / "instruments" / f"{venue}.rows.json"


def save_rows(path: Path, rows: Sequence[InstrumentRow]) -> None:
    """Replace the file as a whole: a reader finds the old rows or the new ones."""
    document = {"layout_version": layout.LAYOUT_VERSION, "rows": [_plain(row) for row in rows]}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(document)))
    temporary.replace(path)


def load_rows(path: Path, symbols: Sequence[str], ids: InstrumentIds) -> list[InstrumentRow] | None:
    """The kept rows of these symbols, or None: the file is missing, unreadable, of another layout or incomplete."""
    try:
        document = msgspec.json.decode(path.read_bytes())
        if document["layout_version"] != layout.LAYOUT_VERSION:
            return None
        kept = {row["symbol"]: row for row in document["rows"]}
        return [_restored(kept[symbol], ids.id(symbol)) for symbol in symbols]
    except (OSError, msgspec.DecodeError, KeyError, TypeError, ValueError, OverflowError, AttributeError):
        return None


def _plain(row: InstrumentRow) -> dict[str, Any]:
    return {name: value for name, value in row.to_dict().items() if name not in ("instrument_id", "receive_time_ns")}


def _restored(fields: dict[str, Any], instrument_id: int) -> InstrumentRow:
    row = InstrumentRow()
    for name, value in fields.items():
        if isinstance(value, list):
            getattr(row, name)[:] = value
        else:
            setattr(row, name, value.encode() if isinstance(value, str) else value)
    row.instrument_id = instrument_id
    return row
