"""The declared decoder: every documented shape, and what it refuses. Messages are composed in the documented shape."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from exchanges.deribit.codec import MarketCodec
from exchanges.instrument_rows import Scales
from exchanges.market_events import (
    BestQuote,
    BookDelta,
    BookSnapshot,
    ControlReply,
    Greeks,
    Heartbeat,
    Ignored,
    IndexPrice,
    InstrumentChange,
    MalformedFrame,
    MarkPrice,
    PlatformChange,
    PublicTrade,
    PublicTrades,
)
from shm.layout import InstrumentStatus, Side

OPTION = "BTC-25DEC26-90000-C"
SCALES = {"BTC-PERPETUAL": Scales(2, 0), OPTION: Scales(4, 1)}
CODEC = MarketCodec(SCALES)
T = 1767000000012
NS = T * 1_000_000


def notification(channel: str, data: str | Any) -> bytes:
    text = data if isinstance(data, str) else json.dumps(data)
    return (
        f'{{"jsonrpc":"2.0","method":"subscription","params":{{"channel":"{channel}","data":{text}}}}}'
    ).encode()  # fmt: skip


def book(data: str, channel: str = "book.BTC-PERPETUAL.100ms") -> bytes:
    return notification(channel, f'{{"timestamp":{T},"instrument_name":"BTC-PERPETUAL",{data}}}')


def test_a_snapshot_and_a_change_of_a_book() -> None:
    sides = '"bids":[["new",6.1e4,5000.0],["new",60999.5,120]],"asks":[["new",61000.50,9e2]]'
    assert CODEC.decode(book(f'"type":"snapshot","change_id":100,{sides}')) == BookSnapshot(
        "BTC-PERPETUAL", 100, NS, [(6100000, 5000), (6099950, 120)], [(6100050, 900)]
    )
    change = '"bids":[["change",61000.0,4800.0],["delete",60999.5,0.0]],"asks":[["new",61001.5,40.0]]'
    assert CODEC.decode(book(f'"type":"change","prev_change_id":100,"change_id":131,{change}')) == BookDelta(
        "BTC-PERPETUAL", 131, 131, 100, NS, [(6100000, 4800), (6099950, 0)], [(6100150, 40)]
    )


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        ('"change_id":7', BookSnapshot),  # before 2021
        ('"change_id":7,"prev_change_id":null,"type":"snapshot"', BookSnapshot),
        ('"change_id":7,"prev_change_id":6', BookDelta),
        ('"change_id":7,"prev_change_id":6,"type":"change"', BookDelta),
    ],
)
def test_older_and_newer_forms_of_a_book(head: str, kind: type) -> None:
    assert isinstance(CODEC.decode(book(f'{head},"bids":[],"asks":[]')), kind)


def test_a_deleted_level_has_no_quantity_whatever_is_written() -> None:
    event = CODEC.decode(book('"change_id":7,"prev_change_id":6,"bids":[["delete",5.0,3.0]],"asks":[]'))
    assert isinstance(event, BookDelta)
    assert event.bids == [(500, 0)]


def test_a_grouped_book_is_not_taken_for_a_change() -> None:
    data = '"change_id":7,"bids":[[61000.0,5.0]],"asks":[]'
    assert CODEC.decode(book(data, "book.BTC-PERPETUAL.none.10.100ms")) == Ignored("grouped book")


@pytest.mark.parametrize(
    "empty", ['null,"best_bid_amount":0.0', '0.0,"best_bid_amount":0.0', 'null,"best_bid_amount":null']
)
def test_a_quote_and_its_empty_side(empty: str) -> None:
    data = (
        f'{{"best_ask_price":61000.5,"timestamp":{T},"best_ask_amount":950.0,"instrument_name":"BTC-PERPETUAL",'
        f'"best_bid_price":{empty}}}'
    )
    assert CODEC.decode(notification("quote.BTC-PERPETUAL", data)) == BestQuote(
        "BTC-PERPETUAL", 0, NS, 0, 0, 6100050, 950
    )


TRADE: dict[str, Any] = {
    "timestamp": T, "price": 61000.5, "amount": 750.0, "contracts": 75.0, "direction": "buy", "index_price": 60998.75,
    "mark_price": 60999.11, "instrument_name": "BTC-PERPETUAL", "trade_seq": 271252855, "trade_id": "403691825",
    "tick_direction": 2,
}  # fmt: skip


def test_the_trades_of_a_message_in_their_order() -> None:
    later = TRADE | {"trade_seq": 271252856, "direction": "sell", "liquidation": "M", "combo_trade_id": "43"}
    assert CODEC.decode(notification("trades.BTC-PERPETUAL.raw", [TRADE, later])) == PublicTrades(
        (
            PublicTrade("BTC-PERPETUAL", 271252855, NS, 6100050, 750, Side.BUY),
            PublicTrade("BTC-PERPETUAL", 271252856, NS, 6100050, 750, Side.SELL),
        )
    )


def test_a_perpetuals_ticker() -> None:
    data = {
        "timestamp": T, "instrument_name": "BTC-PERPETUAL", "mark_price": 60999.11, "index_price": 60998.75,
        "current_funding": 1.2e-5, "funding_8h": 2e-5, "state": "open", "stats": {"high": None},
    }  # fmt: skip
    assert CODEC.decode(notification("ticker.BTC-PERPETUAL.100ms", data)) == MarkPrice(
        "BTC-PERPETUAL", NS, 6099911000000, 60998.75, 1.2e-5, 0
    )


def test_an_options_ticker_has_greeks_and_volatilities_as_fractions() -> None:
    data = {
        "timestamp": T, "instrument_name": OPTION, "mark_price": 0.084155, "index_price": 60998.75, "mark_iv": 78.74,
        "bid_iv": 0.0, "ask_iv": 117.97, "underlying_price": 61200.5, "interest_rate": 0.0,
        "greeks": {"delta": 0.86, "gamma": 0.00134, "vega": 0.46, "theta": -5.1, "rho": 0.16},
    }  # fmt: skip
    event = CODEC.decode(notification(f"ticker.{OPTION}.raw", data))
    assert isinstance(event, MarkPrice)
    assert isinstance(event.greeks, Greeks)
    assert event.mark_price == 8415500
    assert math.isnan(event.funding_rate)
    assert math.isnan(event.greeks.bid_volatility)  # 0 is no volatility, it is no bid
    assert (event.greeks.mark_volatility, event.greeks.ask_volatility) == (0.7874, 1.1797)
    assert (event.greeks.delta, event.greeks.theta, event.greeks.underlying_price) == (0.86, -5.1, 61200.5)


def test_the_words_about_indexes_instruments_and_the_platform() -> None:
    index = {"timestamp": T, "price": 60998.75, "index_name": "btc_usd"}
    assert CODEC.decode(notification("deribit_price_index.btc_usd", index)) == IndexPrice("btc_usd", NS, 60998.75)
    for state, status in (
        ("created", InstrumentStatus.PENDING), ("started", InstrumentStatus.TRADING),
        ("deactivated", InstrumentStatus.HALTED), ("terminated", InstrumentStatus.CLOSED),
    ):  # fmt: skip
        data = {"timestamp": T, "state": state, "instrument_name": OPTION}
        expected = InstrumentChange(OPTION, NS, status)
        assert CODEC.decode(notification("instrument.state.any.any", data)) == expected
    assert CODEC.decode(notification("platform_state", {"price_index": "btc_usd", "locked": True})) == PlatformChange(
        "btc_usd", locked=True
    )
    assert CODEC.decode(notification("platform_state", {"maintenance": False})) == PlatformChange("", locked=False)


def test_heartbeats_and_replies() -> None:
    beat = '{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"%s"}}'
    assert CODEC.decode((beat % "heartbeat").encode()) == Heartbeat(asks=False)
    assert CODEC.decode((beat % "test_request").encode()) == Heartbeat(asks=True)
    times = '"usIn":1767000000100200,"usOut":1767000000101450,"usDiff":1250,"testnet":false'
    assert CODEC.decode(f'{{"jsonrpc":"2.0","id":7,"result":["a"],{times}}}'.encode()) == ControlReply(
        7, result=b'["a"]'
    )
    error = '{"code":10028,"message":"too_many_requests","data":null}'
    assert CODEC.decode(f'{{"id":7,"error":{error},"jsonrpc":"2.0",{times}}}'.encode()) == ControlReply(
        7, "too_many_requests (10028)", code=10028
    )
    assert CODEC.decode(b'{"id":"other","result":"ok"}') == ControlReply(None, result=b'"ok"')


def test_channels_that_nobody_needs_are_ignored() -> None:
    assert CODEC.decode(notification("announcements", {"id": 1})) == Ignored("channel announcements")
    state = {"allow_unauthenticated_public_requests": True}
    assert CODEC.decode(notification("platform_state.public_methods_state", state)) == Ignored("channel platform_state")


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "unexpected shape"),
        (b"{}", "unknown frame"),
        (b'{"method":"subscription"}', "unknown frame"),
        (book('"type":"change","change_id":7,"bids":[],"asks":[]'), "change without prev_change_id"),
        (book('"type":"other","change_id":7,"bids":[],"asks":[]'), "unexpected shape"),
        (book('"change_id":-1,"bids":[],"asks":[]'), "unexpected shape"),
        (book('"change_id":7,"bids":[["new",1.0]],"asks":[]'), "unexpected shape"),
        (book('"change_id":7,"bids":[["move",1.0,1.0]],"asks":[]'), "unexpected shape"),
        (book('"change_id":7,"bids":[["new",1.001,1.0]],"asks":[]'), "bad number"),
        (book('"change_id":7,"bids":[["new",1.0,0.5]],"asks":[]'), "bad number"),
        (book('"change_id":7,"bids":[["new","1.0",5.0]],"asks":[]'), "bad number"),
        (book('"change_id":7,"bids":[["new",null,5.0]],"asks":[]'), "bad number"),
        (book('"change_id":7,"bids":[["new",-1.0,5.0]],"asks":[]'), "negative number"),
        (book('"change_id":7,"bids":[["new",0.0,5.0]],"asks":[]'), "price of zero"),
        (book('"change_id":7,"bids":[],"asks":[]', "book.ETH-PERPETUAL.raw"), "channel and instrument differ"),
        (book('"change_id":7,"bids":[],"asks":[]', "book.BTC-PERPETUAL.1s"), "channel and instrument differ"),
        (notification("trades.BTC-PERPETUAL.raw", [TRADE | {"direction": "up"}]), "unexpected shape"),
        (notification("trades.BTC-PERPETUAL.raw", TRADE), "unexpected shape"),
        (notification("trades.XRP.raw", [TRADE | {"instrument_name": "XRP"}]), "unknown symbol"),
    ],
)
def test_what_the_protocol_does_not_allow_is_malformed(frame: bytes, kind: str) -> None:
    with pytest.raises(MalformedFrame) as caught:
        CODEC.decode(frame)
    assert caught.value.kind == kind


def test_a_book_over_http_is_that_of_the_instrument_asked_for() -> None:
    result = (
        b'{"timestamp":1767000000012,"instrument_name":"BTC-PERPETUAL","change_id":5,"state":"open",'
        b'"bids":[[6.1e4,10.0]],"asks":[]}'
    )
    assert CODEC.decode_snapshot("BTC-PERPETUAL", result) == BookSnapshot("BTC-PERPETUAL", 5, NS, [(6100000, 10)], [])
    with pytest.raises(MalformedFrame, match="another instrument"):
        CODEC.decode_snapshot(OPTION, result)


def test_commands_are_json_rpc() -> None:
    assert json.loads(CODEC.subscribe(["quote.BTC-PERPETUAL"], 3)) == {
        "jsonrpc": "2.0", "id": 3, "method": "public/subscribe", "params": {"channels": ["quote.BTC-PERPETUAL"]},
    }  # fmt: skip
    assert json.loads(CODEC.unsubscribe(["a"], 4))["method"] == "public/unsubscribe"
