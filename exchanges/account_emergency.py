"""What every venue's emergency access does in the same way: connection and fetcher made anew, cancels, close.

The rule: a cancel is done also where the venue says that it does not know the order any more; whatever else it refuses
is raised.

Who calls it: emergency.py of every venue derives from it; exchanges/emergency.py uses what it offers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Collection, Sequence
from typing import ClassVar, Final, Generic, Protocol, TypeVar

from exchanges.adapter import VenueRefused
from exchanges.emergency import OpenOrder
from exchanges.order_wire import own_order_id
from exchanges.venue_clock import VenueClock

NS_PER_MS: Final = 1_000_000
AHEAD_NS: Final = 1_000_000_000
"""By how much an engine may have taken the venue's clock to be slower; Binance takes a timestamp that far ahead."""


class Fetcher(Protocol):
    """The part of a venue's account fetcher that is the same everywhere."""

    async def cancel_all_of_symbol(self, symbol: str) -> None: ...


FetcherT_co = TypeVar("FetcherT_co", bound=Fetcher, covariant=True)


class Connection(Protocol[FetcherT_co]):
    """OrderConnection of the venue."""

    receive_window_ms: int
    clock: VenueClock

    @property
    def fetcher(self) -> FetcherT_co: ...
    async def close(self) -> None: ...


ConnectionT = TypeVar("ConnectionT", bound=Connection[Fetcher])


class AccountEmergency(ABC, Generic[ConnectionT]):
    """Make it inside the running event loop; `close()` it there."""

    GONE: ClassVar[Collection[int]]
    """Codes of a refused cancel that mean: no such open order."""

    def __init__(self, connection: ConnectionT, instance_number: int) -> None:
        self._connection, self._instance = connection, instance_number

    @property
    def acceptance_ns(self) -> int:
        connection = self._connection
        return connection.receive_window_ms * NS_PER_MS + AHEAD_NS + connection.clock.error_ns

    async def cancel_symbol(self, symbol: str) -> None:
        await self._connection.fetcher.cancel_all_of_symbol(symbol)

    async def cancel(self, order: OpenOrder) -> None:
        try:
            await self._cancel(order)
        except VenueRefused as refused:
            if refused.code not in self.GONE:
                raise

    def cancel_together(self, orders: Sequence[OpenOrder]) -> Awaitable[None] | None:
        return None

    @abstractmethod
    async def _cancel(self, order: OpenOrder) -> None:
        """Cancel it by the venue's id."""

    def _ours(self, client_order_id: str) -> int:
        """The order's id where it is this instance's, else 0."""
        return own_order_id(client_order_id, self._instance)

    async def close(self) -> None:
        await self._connection.close()
