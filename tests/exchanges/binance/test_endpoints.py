from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from exchanges.adapter import ConfigurationError
from exchanges.binance import endpoints


def settings(environment: str, **urls: str) -> Any:
    return SimpleNamespace(
        **{"rest_url": None, "stream_url": None, "ws_api_url": None, **urls}, environment=environment
    )


@pytest.mark.parametrize(
    ("environment", "rest", "stream"),
    [
        ("live", "https://fapi.binance.com", "wss://fstream.binance.com"),
        ("testnet", "https://demo-fapi.binance.com", "wss://demo-fstream.binance.com"),
    ],
)
def test_each_environment_has_its_own_hosts(environment: str, rest: str, stream: str) -> None:
    found = endpoints.endpoints(settings(environment))
    assert (found.rest, found.stream) == (rest, stream)
    assert found.order_socket().endswith("/ws-fapi/v1")


def test_given_urls_count_before_the_environments() -> None:
    found = endpoints.endpoints(settings("live", rest_url="http://127.0.0.1:1/", stream_url="ws://127.0.0.1:2"))
    assert (found.rest, found.stream) == ("http://127.0.0.1:1", "ws://127.0.0.1:2")
    assert found.ws_api == "wss://ws-fapi.binance.com"


def test_a_simulator_without_a_url_is_a_mistake_of_the_config() -> None:
    with pytest.raises(ConfigurationError, match=r"venues\.binance\.stream_url is missing"):
        endpoints.endpoints(settings("simulator", rest_url="http://127.0.0.1:1"))


def test_streams_stand_on_their_routes() -> None:
    found = endpoints.endpoints(settings("live"))
    assert found.public(["a@depth@100ms", "a@bookTicker"]) == (
        "wss://fstream.binance.com/public/stream?streams=a@depth@100ms/a@bookTicker"
    )
    assert found.market(["a@trade"]) == "wss://fstream.binance.com/market/stream?streams=a@trade"
    assert found.private("KEY") == "wss://fstream.binance.com/private/ws/KEY"


def test_stream_names_have_the_symbol_in_lower_case_and_the_suffix_as_it_is() -> None:
    assert endpoints.depth_stream("BTCUSDT") == "btcusdt@depth@100ms"
    assert endpoints.book_ticker_stream("BTCUSDT") == "btcusdt@bookTicker"
    assert endpoints.trade_stream("BTCUSDT") == "btcusdt@trade"
    assert endpoints.agg_trade_stream("BTCUSDT") == "btcusdt@aggTrade"
    assert endpoints.mark_price_stream("BTCUSDT") == "btcusdt@markPrice@1s"
