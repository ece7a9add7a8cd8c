"""Private REST of GRVT: positions and balances of the sub account.

The rule: nothing is retried here but one login: where the venue does not know the cookie any more (1000), the call is
made once again with a new one, which changes nothing as these calls only read. No usable answer is VenueUnavailable,
the venue's no is VenueRefused.

Source: https://api-docs.grvt.io/trading_api

Who calls it: pms.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from exchanges.adapter import VenueRefused, VenueUnavailable
from exchanges.grvt.account_codec import AccountCodec
from exchanges.grvt.rest import ask
from exchanges.grvt.session import Session
from exchanges.http import HttpHandler
from exchanges.market_events import MalformedFrame
from shm.clock import monotonic_ns
from shm.records import BalanceRow, PositionRow

_T = TypeVar("_T")

POSITIONS: Final = "/full/v1/positions"
ACCOUNT_SUMMARY: Final = "/full/v1/account_summary"
NOT_LOGGED_IN: Final = 1000


class GrvtAccountFetcher:
    """One per process. `http` goes to the trades host and is closed by its maker."""

    def __init__(self, http: HttpHandler, session: Session, codec: AccountCodec) -> None:
        self._http, self._session, self._codec = http, session, codec

    async def positions(self) -> list[PositionRow]:
        """Rows of the configured instruments that have a position; the others have none."""
        return await self._read(POSITIONS, self._codec.decode_positions)

    async def balances(self) -> list[BalanceRow]:
        """One row per currency."""
        return await self._read(ACCOUNT_SUMMARY, self._codec.decode_balances)

    async def _read(self, path: str, decode: Callable[[bytes, int], _T]) -> _T:
        body = await self._asked(path, {})
        try:
            return decode(body, monotonic_ns())
        except MalformedFrame as failure:
            raise VenueUnavailable(str(failure)) from failure

    async def _asked(self, path: str, body: dict[str, Any]) -> bytes:
        session = self._session
        await session.ensure()
        headers = session.headers
        try:
            return await self._ask(path, body, headers)
        except VenueRefused as refused:
            if refused.code != NOT_LOGGED_IN:
                raise
        session.lost(headers)
        await session.ensure()
        return await self._ask(path, body, session.headers)

    async def _ask(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> bytes:
        return await ask(self._http, path, {"sub_account_id": self._session.account, **body}, headers)
