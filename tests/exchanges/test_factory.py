from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from exchanges.adapter import ConfigurationError, ExchangeContext
from exchanges.binance.data_fetcher import BinanceDataFetcher
from exchanges.binance.subscriber import BinanceSubscriber
from exchanges.deribit.data_fetcher import DeribitDataFetcher
from exchanges.deribit.subscriber import DeribitSubscriber
from exchanges.factory import ExchangeFactory
from exchanges.grvt.data_fetcher import GrvtDataFetcher
from exchanges.grvt.subscriber import GrvtSubscriber

ROOT = Path(__file__).parent.parent.parent


def context(market: Any, tmp_path: Path, venue: str = "binance") -> ExchangeContext:
    settings: Any = SimpleNamespace(
        environment="simulator", symbols=["BTCUSDT"], rest_url="http://127.0.0.1:9", stream_url="ws://127.0.0.1:9",
        ws_api_url="ws://127.0.0.1:9", order_path="websocket", receive_window_ms=5000, stale_after_ms=2000,
        settle_currency="USDT", check_gaps=True, account="", requests_per_second={}, login="signature",
    )  # fmt: skip
    ids: Any = SimpleNamespace(id=lambda symbol: 1 << 16, symbol=lambda number: "BTCUSDT")
    return ExchangeContext(
        venue, settings, ids, market.segment, market.counters, logging.getLogger("test"), tmp_path, lambda *_: None
    )


@pytest.mark.parametrize(
    ("venue", "kinds"),
    [
        ("binance", (BinanceSubscriber, BinanceDataFetcher)),
        ("deribit", (DeribitSubscriber, DeribitDataFetcher)),
        ("grvt", (GrvtSubscriber, GrvtDataFetcher)),
    ],
)
async def test_the_factory_makes_the_parts_of_the_venue_it_was_given(
    market: Any, tmp_path: Path, venue: str, kinds: tuple[type, type]
) -> None:
    factory = ExchangeFactory(context(market, tmp_path, venue))
    subscriber, fetcher = factory.subscriber(), factory.data_fetcher()
    assert (type(subscriber), type(fetcher)) == kinds
    await subscriber.close()
    await fetcher.close()


def test_a_venue_that_nobody_has_built_is_one_sentence(market: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"venues\.kraken: unknown venue, expected one of binance, deribit"):
        ExchangeFactory(context(market, tmp_path, "kraken"))


def test_a_part_that_is_not_built_is_one_sentence(market: Any, tmp_path: Path) -> None:
    factory = ExchangeFactory(context(market, tmp_path, "grvt"))
    with pytest.raises(ConfigurationError, match=r"venues\.grvt: this version has no nothing for this venue"):
        factory._class("nothing", "Nothing")


def test_importing_the_factory_loads_no_venue() -> None:
    venues = ("exchanges.binance", "exchanges.deribit", "exchanges.grvt")
    code = f"import sys, exchanges.factory; sys.exit(any(name.startswith({venues}) for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
