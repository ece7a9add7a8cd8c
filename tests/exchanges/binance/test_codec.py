"""The declared decoder on frames composed in the documented shape."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.binance.codec import MarketCodec
from exchanges.instrument_rows import Scales
from exchanges.market_events import (
    BestQuote,
    BookDelta,
    BookSnapshot,
    ControlReply,
    Ignored,
    MalformedFrame,
    MarkPrice,
    PublicTrade,
)
from shm.layout import Side, TradeFlag

DEPTH: dict[str, Any] = {
    "e": "depthUpdate", "E": 1790000000085, "T": 1790000000081, "s": "BTCUSDT", "ps": "BTCUSDT", "U": 9000000003245,
    "u": 9000000007966, "pu": 9000000003147, "b": [["84541.00", "0.003"], ["84551.00", "2.027"]],
    "a": [["84551.10", "5.302"], ["84565.90", "0.000"]], "st": 1,
}  # fmt: skip
TICKER: dict[str, Any] = {
    "e": "bookTicker", "u": 9000000005961, "s": "BTCUSDT", "ps": "BTCUSDT", "b": "84551.00", "B": "2.646",
    "a": "84551.10", "A": "5.302", "T": 1790000000039, "E": 1790000000040, "st": 1,
}  # fmt: skip
TRADE: dict[str, Any] = {
    "e": "trade", "E": 1723160000030, "T": 1723160000029, "s": "BTCUSDT", "t": 5260000001, "p": "61650.00",
    "q": "0.004", "X": "MARKET", "m": True,
}  # fmt: skip
AGG: dict[str, Any] = {
    "e": "aggTrade", "E": 1790000000033, "a": 3466780001, "s": "BTCUSDT", "p": "84551.10", "q": "0.030", "nq": "0.030",
    "f": 8123340001, "l": 8123340003, "T": 1790000000000, "m": False, "st": 1,
}  # fmt: skip
FORCE: dict[str, Any] = {
    "e": "forceOrder", "E": 1790000000773,
    "o": {
        "s": "BTCUSDT", "S": "SELL", "o": "LIMIT", "f": "IOC", "q": "9.243", "p": "84500.00", "ap": "84551.1257892",
        "X": "FILLED", "l": "0.055", "z": "9.243", "T": 1789999999763, "ps": "BTCUSDT", "st": 1,
    },
}  # fmt: skip
MARK: dict[str, Any] = {
    "e": "markPriceUpdate", "E": 1790000001000, "s": "BTCUSDT", "p": "84551.10762319", "ap": "84551.10762319",
    "P": "84559.09090930", "i": "84590.87304348", "r": "0.00000801", "T": 1790028800000, "st": 1,
}  # fmt: skip


@pytest.fixture
def codec() -> MarketCodec:
    return MarketCodec({"BTCUSDT": Scales(2, 3), "币安USDT": Scales(5, 0)})


def encode(message: Any) -> bytes:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def wrap(message: dict[str, Any], stream: str) -> bytes:
    return encode({"stream": stream, "data": message})


def test_a_depth_diff_becomes_a_delta(codec: MarketCodec) -> None:
    expected = BookDelta(
        "BTCUSDT", 9000000003245, 9000000007966, 9000000003147, 1790000000085_000_000,
        [(8454100, 3), (8455100, 2027)], [(8455110, 5302), (8456590, 0)],
    )  # fmt: skip
    assert codec.decode(encode(DEPTH)) == expected
    assert codec.decode(wrap(DEPTH, "btcusdt@depth@100ms")) == expected
    assert codec.decode(encode(dict(reversed(DEPTH.items())))) == expected


def test_a_book_ticker_becomes_a_quote(codec: MarketCodec) -> None:
    assert codec.decode(wrap(TICKER, "btcusdt@bookTicker")) == BestQuote(
        "BTCUSDT", 9000000005961, 1790000000040_000_000, 8455100, 2646, 8455110, 5302
    )


def test_a_side_without_orders_is_an_empty_quote(codec: MarketCodec) -> None:
    event = codec.decode(encode(TICKER | {"a": "0.00", "A": "0.000"}))
    assert isinstance(event, BestQuote)
    assert (event.ask_price, event.ask_quantity) == (0, 0)


def test_trades_say_who_was_the_aggressor(codec: MarketCodec) -> None:
    assert codec.decode(encode(TRADE)) == PublicTrade(
        "BTCUSDT", 5260000001, 1723160000029_000_000, 6165000, 4, Side.SELL
    )
    assert codec.decode(encode(AGG)) == PublicTrade(
        "BTCUSDT", 8123340001, 1790000000000_000_000, 8455110, 30, Side.BUY, aggregated=True, trade_count=3
    )


def test_trades_of_the_insurance_fund_are_none_of_the_market(codec: MarketCodec) -> None:
    assert isinstance(codec.decode(encode(TRADE | {"X": "INSURANCE_FUND"})), Ignored)


def test_a_liquidation_report_is_a_trade_that_says_what_it_is(codec: MarketCodec) -> None:
    assert codec.decode(encode(FORCE)) == PublicTrade(
        "BTCUSDT", 1789999999763, 1789999999763_000_000, 8455113, 9243, Side.SELL,
        flags=TradeFlag.LIQUIDATION | TradeFlag.REPORT,
    )  # fmt: skip
    coin_margined = codec.decode(encode(FORCE | {"o": FORCE["o"] | {"st": 2}}))
    assert coin_margined == Ignored("contract type 2")
    for key, value in (("ap", "-1"), ("ap", "0"), ("ap", "1e5"), ("z", "x"), ("S", "HOLD")):
        with pytest.raises(MalformedFrame):
            codec.decode(encode(FORCE | {"o": FORCE["o"] | {key: value}}))


def test_the_mark_price_is_exact(codec: MarketCodec) -> None:
    event = codec.decode(encode(MARK))
    assert event == MarkPrice(
        "BTCUSDT", 1790000001000_000_000, 8455110762319, 84590.87304348, 0.00000801, 1790028800000_000_000
    )
    delivery = codec.decode(encode(MARK | {"r": ""}))
    assert isinstance(delivery, MarkPrice)
    assert math.isnan(delivery.funding_rate)
    negative = codec.decode(encode(MARK | {"r": "-0.00001000"}))
    assert isinstance(negative, MarkPrice)
    assert negative.funding_rate == -0.00001


def test_symbols_need_not_be_ascii(codec: MarketCodec) -> None:
    event = codec.decode(wrap(TRADE | {"s": "币安USDT", "p": "0.12345", "q": "5"}, "币安usdt@trade"))
    assert isinstance(event, PublicTrade)
    assert (event.symbol, event.price, event.quantity) == ("币安USDT", 12345, 5)


@pytest.mark.parametrize(
    "frame",
    [
        encode(DEPTH | {"st": 2}),
        wrap(DEPTH, "btcusdt@depth5@100ms"),
        wrap(DEPTH, "btcusdt@depth20"),
        encode({"e": "kline", "E": 1, "s": "BTCUSDT", "k": {}}),
        encode({"e": "somethingNew"}),
    ],
)
def test_what_is_not_for_us_is_ignored(codec: MarketCodec, frame: bytes) -> None:
    assert isinstance(codec.decode(frame), Ignored)


def test_replies_to_commands_are_told_from_events(codec: MarketCodec) -> None:
    assert codec.decode(b'{"result":null,"id":7}') == ControlReply(7)
    refused = codec.decode(b'{"error":{"code":2,"msg":"Invalid request: invalid stream"},"id":8}')
    assert isinstance(refused, ControlReply)
    assert refused.request_id == 8
    assert "invalid stream" in refused.error


MALFORMED = [
    (b"", "not JSON"),
    (b"{", "not JSON"),
    (b"\xff\xfe", "not JSON"),
    (b'{"e":"trade\xff"}', "not JSON"),
    (b"[]", "unexpected shape"),
    (b"7", "unexpected shape"),
    (b"{}", "unknown frame"),
    (encode({"stream": "btcusdt@trade"}), "unknown frame"),
    (encode({k: v for k, v in DEPTH.items() if k != "pu"}), "unexpected shape"),
    (encode(DEPTH | {"u": "1"}), "unexpected shape"),
    (encode(DEPTH | {"u": -1}), "unexpected shape"),
    (encode(DEPTH | {"u": 10**18}), "unexpected shape"),
    (encode(DEPTH | {"E": 10**13}), "unexpected shape"),
    (encode(DEPTH | {"b": [["1"]]}), "unexpected shape"),
    (encode(DEPTH | {"b": [[1, 2]]}), "unexpected shape"),
    (encode(DEPTH | {"U": DEPTH["u"] + 1}), "update ids out of order"),
    (encode(DEPTH | {"s": "XYZUSDT"}), "unknown symbol"),
    (encode(DEPTH | {"b": [["84541.001", "1"]]}), "bad decimal"),
    (encode(DEPTH | {"b": [["8e4", "1"]]}), "bad decimal"),
    (encode(DEPTH | {"b": [["-1", "1"]]}), "negative number"),
    (encode(DEPTH | {"b": [["0.00", "1"]]}), "price of zero"),
    (encode(TICKER | {"b": "0.00"}), "price of zero"),
    (encode(AGG | {"f": AGG["l"] + 1}), "trade ids out of order"),
    (encode(MARK | {"p": "x"}), "bad decimal"),
    (encode(MARK | {"i": "inf"}), "bad decimal"),
    (wrap(DEPTH, "ethusdt@depth@100ms"), "stream and symbol differ"),
]


@pytest.mark.parametrize(("frame", "kind"), MALFORMED)
def test_malformed_frames_are_one_of_few_kinds(codec: MarketCodec, frame: bytes, kind: str) -> None:
    with pytest.raises(MalformedFrame) as caught:
        codec.decode(frame)
    assert caught.value.kind == kind


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_a_malformed_frame(frame: bytes) -> None:
    codec = MarketCodec({"BTCUSDT": Scales(2, 3)})
    try:
        codec.decode(frame)
    except MalformedFrame as malformed:
        assert len(str(malformed)) < 2_000


def test_a_snapshot_keeps_the_order_of_the_venue(codec: MarketCodec) -> None:
    body = encode(
        {
            "lastUpdateId": 9000, "E": 1790000000380, "T": 1790000000370,
            "bids": [["84432.70", "0.513"], ["84432.60", "1"]], "asks": [["84432.80", "1.2"]],
        }
    )  # fmt: skip
    assert codec.decode_snapshot("BTCUSDT", body) == BookSnapshot(
        "BTCUSDT", 9000, 1790000000380_000_000, [(8443270, 513), (8443260, 1000)], [(8443280, 1200)]
    )
    with pytest.raises(MalformedFrame):
        codec.decode_snapshot("BTCUSDT", b"<html>")


def test_stream_commands_carry_integer_ids() -> None:
    assert json.loads(MarketCodec.subscribe(["btcusdt@depth@100ms"], 1)) == {
        "method": "SUBSCRIBE",
        "params": ["btcusdt@depth@100ms"],
        "id": 1,
    }
    assert json.loads(MarketCodec.unsubscribe([], 2))["method"] == "UNSUBSCRIBE"
