"""Which streams go over which socket, and what their silence means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.binance.endpoints import STREAMS_PER_CONNECTION, STREAMS_PER_SOCKET, Endpoints
from exchanges.binance.market_sockets import KINDS, MarketSocket, market_sockets
from exchanges.instrument_feed import SEEN_DEPTH, SEEN_LIQUIDATION, SEEN_QUOTE, SEEN_TICKER

WHERE = Endpoints("http://r", "ws://s", "ws://a")


def names(socket: MarketSocket) -> list[str]:
    return socket.url.split("?streams=")[1].split("/")


def test_few_symbols_need_one_socket_a_route() -> None:
    public, market = market_sockets(["BTCUSDT", "ETHUSDT"], WHERE)
    assert public.url == (
        "ws://s/public/stream?streams=btcusdt@depth@100ms/btcusdt@bookTicker/ethusdt@depth@100ms/ethusdt@bookTicker"
    )
    assert names(market)[:4] == ["btcusdt@aggTrade", "btcusdt@trade", "btcusdt@markPrice@1s", "btcusdt@forceOrder"]
    assert [public.name, market.name] == ["binance public stream", "binance market stream"]
    assert public.streams == SEEN_DEPTH | SEEN_QUOTE


@given(st.integers(1, 700), st.integers(4, STREAMS_PER_SOCKET))
def test_every_stream_is_asked_for_once_on_its_route_and_no_socket_for_too_many(count: int, most: int) -> None:
    symbols = [f"S{number}USDT" for number in range(count)]
    sockets = market_sockets(symbols, WHERE, most)
    for socket in sockets:
        assert 0 < len(names(socket)) <= most <= STREAMS_PER_CONNECTION
        route = socket.url.removeprefix("ws://s/").split("/")[0]
        assert {kind.route for kind in socket.kinds} == {route}
    asked = sorted(name for socket in sockets for name in names(socket))
    assert asked == sorted(kind.name(symbol) for kind in KINDS for symbol in symbols)
    assert len({socket.name for socket in sockets}) == len(sockets)


def test_the_urls_of_full_sockets_stay_below_what_servers_take() -> None:
    symbols = [f"1000000LONGNAME{number}USDT" for number in range(300)]
    assert max(len(socket.url) for socket in market_sockets(symbols, WHERE)) < 8000


@pytest.mark.parametrize(
    ("seen", "required", "optional"),
    [
        ({"A": 0, "B": 0}, ["a@depth@100ms", "b@depth@100ms", "a@bookTicker", "b@bookTicker"], []),
        ({"A": SEEN_DEPTH, "B": 0}, ["a@bookTicker", "b@bookTicker"], ["b@depth@100ms"]),
        ({"A": SEEN_DEPTH | SEEN_QUOTE, "B": SEEN_QUOTE}, [], ["b@depth@100ms"]),
        ({"A": SEEN_DEPTH | SEEN_QUOTE, "B": SEEN_QUOTE | SEEN_DEPTH}, [], []),
    ],
)
def test_a_kind_that_no_symbol_speaks_is_a_wrong_route_and_one_silent_symbol_is_not(
    seen: dict[str, int], required: list[str], optional: list[str]
) -> None:
    public, _ = market_sockets(["A", "B"], WHERE)
    silent = public.silent(seen)
    assert (silent.required, silent.optional) == (required, optional)


def test_trades_may_be_late_and_liquidations_may_never_come() -> None:
    _, market = market_sockets(["A"], WHERE)
    assert market.streams & SEEN_LIQUIDATION
    silent = market.silent({"A": SEEN_TICKER})
    assert (silent.required, silent.optional) == ([], ["a@aggTrade", "a@trade"])
