"""The account's past where it has more pages than one."""

from __future__ import annotations

from pathlib import Path

import pytest

from exchanges.binance import account_fetcher
from shm.layout import EventType
from tests.exchanges.binance.live_engine import BTC, live
from tests.exchanges.binance.simulator_client import venue

TRADES = 7


@pytest.mark.parametrize("page", [2, 7, 1000])
async def test_every_page_of_trades_since_a_time_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    async with venue() as (server, _), live(server, tmp_path) as engine:
        ids = [engine.new(price="61900.00") for _ in range(TRADES)]
        await engine.until(lambda: all(EventType.FILL in engine.kinds(one) for one in ids))
        monkeypatch.setattr(account_fetcher, "TRADES_PER_PAGE", page)
        facts = await engine.oms._connection.fetcher.own_trades_since(
            BTC.symbol, engine.oms.clock.now_ns() - 3_600 * 10**9
        )
        known = {engine.store.get(one).exchange_order_id for one in ids}  # type: ignore[union-attr]
        assert {fact.exchange_order_id for fact in facts} == known
        assert len({fact.trade_id for fact in facts}) == len(facts) >= TRADES
