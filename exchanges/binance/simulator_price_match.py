"""priceMatch: the venue puts a LIMIT order's price at a level of its book.

Docs: https://developers.binance.com/docs/derivatives/usds-margined-futures/common-definition (Price Match).
OPPONENT is the best price of the other side, OPPONENT_5 its fifth level and so on; QUEUE the same of the own side.

Called by `simulator_order_calls.py` for new orders and amendments.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from exchanges.binance.simulator_errors import VenueError, unexpected
from exchanges.binance.simulator_parameters import Parameters
from exchanges.binance.simulator_venue import Venue

NONE: Final = "NONE"
_LEVELS: Final = {
    f"{side}{suffix}": int(suffix[1:] or 1) for side in ("OPPONENT", "QUEUE") for suffix in ("", "_5", "_10", "_20")
}


def price_and_match(venue: Venue, parameters: Parameters, symbol: str, is_buy: bool) -> tuple[Decimal, str]:
    """(price, mode) of a LIMIT order: its own price, or the matched one. Raises the venue's refusals."""
    mode = parameters.text("priceMatch", NONE)
    if mode == NONE:
        return parameters.decimal("price"), NONE
    level = _LEVELS.get(mode)
    if level is None:
        raise VenueError(-5037, "Invalid price match.")
    if parameters.has("price"):
        raise unexpected("price")
    bid_side = is_buy if mode.startswith("QUEUE") else not is_buy
    levels = venue.book(symbol).top_levels(bid_side, level)
    if len(levels) < level:
        raise VenueError(-5041, "No depth matches this BBO order.")
    return levels[level - 1][0], mode
