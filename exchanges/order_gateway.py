"""All that a trading engine wants of a venue's OMS beside the sending itself: one Protocol for the wiring.

`ExchangeOMS` (adapter.py) is what a venue supplies; this adds the parts that the engine's protocols across processes
need: account state for settlement and recovery, the venue's clock, its dead-man's switch.

Who calls it: processes/trading_engine.py.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from exchanges.adapter import ExchangeOMS
from exchanges.order_engine import Gateway
from exchanges.recovery import RecoverySource
from exchanges.venue_clock import VenueClock


class OrderGateway(ExchangeOMS, Gateway, Protocol):
    @property
    def source(self) -> RecoverySource: ...
    @property
    def clock(self) -> VenueClock: ...
    @property
    def acceptance_ns(self) -> int:
        """How long after its send the venue may still accept a request, our error about its clock included."""
        ...

    async def prepare(self) -> None:
        """Clock, key, account mode, warm connections. Raises VenueUnavailable, VenueRefused, ConfigurationError."""
        ...

    async def measure_clock(self) -> None:
        """Estimate the venue's clock anew. Raises VenueUnavailable."""
        ...

    async def stream_up(self) -> None:
        """Returns when the private stream delivers."""
        ...

    async def forbid(self, symbol: str, client_order_id: int) -> int:
        """Make sure that an order whose outcome is unknown cannot come to life later; for how long it still may, ns."""
        ...

    async def pull_all(self) -> list[str]:
        """Cancel every open order of this instance, and no other, and look again; what failed, in words."""
        ...

    def arm_countdown(self, symbol: str, countdown_ms: int) -> Awaitable[None]:
        """Let the venue cancel everything of the symbol unless this is repeated in time."""
        ...
