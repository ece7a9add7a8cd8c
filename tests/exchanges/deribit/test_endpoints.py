"""URLs by environment, and channel names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from exchanges.adapter import ConfigurationError
from exchanges.deribit import endpoints


@dataclass
class Settings:
    environment: str = "live"
    rest_url: str | None = None
    stream_url: str | None = None
    ws_api_url: str | None = None
    symbols: list[str] = field(default_factory=list)
    receive_window_ms: int = 5000
    stale_after_ms: int = 2000
    settle_currency: str = "BTC"
    order_path: str = "websocket"
    check_gaps: bool = True
    login: str = "signature"
    account: str = ""
    requests_per_second: dict[str, float] = field(default_factory=dict)
    expect: Any = None


def test_each_environment_has_its_own_addresses() -> None:
    live, test = (endpoints.endpoints(Settings(environment)) for environment in ("live", "testnet"))
    assert (live.public(), test.order_socket()) == (
        "wss://www.deribit.com/ws/api/v2", "wss://test.deribit.com/ws/api/v2",
    )  # fmt: skip
    assert (live.rest, test.rest) == ("https://www.deribit.com", "https://test.deribit.com")


def test_given_addresses_win_and_lose_their_slash() -> None:
    urls = endpoints.endpoints(Settings("simulator", "http://a:1/", "ws://a:1", "ws://b:2/"))
    assert (urls.rest, urls.public(), urls.order_socket()) == (
        "http://a:1", "ws://a:1/ws/api/v2", "ws://b:2/ws/api/v2",
    )  # fmt: skip


def test_a_simulator_without_an_address_is_said() -> None:
    with pytest.raises(ConfigurationError, match=r'venues.deribit.rest_url is missing: environment "simulator"'):
        endpoints.endpoints(Settings("simulator"))


def test_channels_are_named_as_documented() -> None:
    assert endpoints.book_channel("BTC-PERPETUAL", endpoints.RAW) == "book.BTC-PERPETUAL.raw"
    assert endpoints.trades_channel("BTC-PERPETUAL", endpoints.AGGREGATED) == "trades.BTC-PERPETUAL.100ms"
    assert endpoints.quote_channel("BTC-PERPETUAL") == "quote.BTC-PERPETUAL"
    assert endpoints.ticker_channel("BTC-PERPETUAL", "100ms") == "ticker.BTC-PERPETUAL.100ms"
    assert endpoints.index_channel("btc_usd") == "deribit_price_index.btc_usd"
