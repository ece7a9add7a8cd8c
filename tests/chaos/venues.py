"""The venues that the tables can be run on, by name."""

from __future__ import annotations

from typing import Final

from tests.chaos.venue import ChaosVenue
from tests.chaos.venue_binance import BinanceVenue
from tests.chaos.venue_deribit import DeribitVenue
from tests.chaos.venue_grvt import GrvtVenue

VENUES: Final[dict[str, ChaosVenue]] = {venue.name: venue for venue in (BinanceVenue(), DeribitVenue(), GrvtVenue())}
