"""Three hosts by environment, one port for a simulator."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from exchanges.adapter import ConfigurationError
from exchanges.grvt import endpoints


def settings(environment: str = "live", **urls: str):
    empty = dict.fromkeys(("rest_url", "stream_url", "ws_api_url"))
    return SimpleNamespace(environment=environment, **{**empty, **urls})


def test_each_environment_has_three_hosts() -> None:
    live = endpoints.endpoints(settings())
    assert (live.edge, live.trades, live.market_data) == (
        "https://edge.grvt.io", "https://trades.grvt.io", "https://market-data.grvt.io",
    )  # fmt: skip
    assert (live.stream, live.order_socket) == ("wss://market-data.grvt.io/ws/full", "wss://trades.grvt.io/ws/full")
    assert not live.lite
    assert endpoints.endpoints(settings("testnet")).edge == "https://edge.testnet.grvt.io"


def test_a_simulator_has_one_address_for_all() -> None:
    found = endpoints.endpoints(
        settings("simulator", rest_url="http://h:1/", stream_url="ws://h:1/", ws_api_url="ws://h:1")
    )
    assert {found.edge, found.trades, found.market_data} == {"http://h:1"}
    assert (found.stream, found.order_socket) == ("ws://h:1/ws/full", "ws://h:1/ws/full")


def test_a_path_says_which_names_market_data_has() -> None:
    assert endpoints.endpoints(settings(stream_url="wss://h/ws/lite")).lite
    with pytest.raises(ConfigurationError, match="ws_api_url"):
        endpoints.endpoints(settings(ws_api_url="wss://h/ws/lite/"))


def test_a_simulator_without_urls_is_one_sentence() -> None:
    with pytest.raises(ConfigurationError, match=r"venues\.grvt\.rest_url is missing"):
        endpoints.endpoints(settings("simulator"))
