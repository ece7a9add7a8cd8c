"""Every recorded message of the venue decodes; composed ones stand in where nobody has recorded any."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from exchanges.grvt.codec import MarketCodec
from exchanges.grvt.fast_decode import FrameScanner
from exchanges.grvt.order_codec import OrderCodec
from exchanges.instrument_rows import Scales
from exchanges.market_events import BookSnapshot, ControlReply, Ignored, MarkPrice, QuoteChange, Subscribed
from exchanges.order_events import FactFlag
from exchanges.order_instruments import OrderInstrument, OrderInstruments
from shm.layout import OrderState, instrument_id
from tests.exchanges.grvt.frames import dense

SCALES = {"BTC_USDT_Perp": Scales(1, 3)}
KINDS = {
    "v1.mini.d": QuoteChange, "v1.mini.s": QuoteChange, "v1.ticker.s": MarkPrice, "v1.trade": Ignored,
    "v1.book.s": BookSnapshot, "v1.candle": Ignored, "v1.fill": Ignored, "v1.position": Ignored, "v1.order": Ignored,
}  # fmt: skip


@pytest.fixture(scope="module")
def recorded(corpus: Path) -> list[dict]:
    lines = (corpus / "grvt" / "ws_recorded.jsonl").read_text().splitlines()
    return [json.loads(line)["message"] for line in lines]


def test_every_recorded_frame_is_understood(recorded) -> None:
    codec = MarketCodec(SCALES)
    for message in recorded:
        event = codec.decode(dense(message))
        expected = KINDS.get(message.get("stream"), ControlReply if "error" in message else Subscribed)
        assert type(event) is expected, message


def test_the_compiled_scanner_takes_every_recorded_book_and_mini_ticker(recorded) -> None:
    codec, scanner = MarketCodec(SCALES), FrameScanner()
    scanner.add("BTC_USDT_Perp", 1, 3)
    taken = 0
    for message in recorded:
        if str(message.get("stream")).startswith(("v1.mini", "v1.book")):
            assert scanner.decode(dense(message)) == codec.decode(dense(message))
            taken += 1
    assert taken >= 4


def test_a_recorded_trade_is_taken_as_soon_as_it_is_news(recorded) -> None:
    codec, scanner = MarketCodec(SCALES), FrameScanner()
    scanner.add("BTC_USDT_Perp", 1, 3)
    (trade,) = [message for message in recorded if message.get("stream") == "v1.trade"]
    assert scanner.decode(dense(trade)) is None
    live = dense({**trade, "sequence_number": "5", "prev_sequence_number": "4"})
    assert scanner.decode(live) == codec.decode(live)
    assert scanner.recognises(live)


# --- the private half -------------------------------------------------------------------------------------------------
ORDERS = OrderInstruments([OrderInstrument(instrument_id(3, 0), "BTC_USDT_Perp", price_scale=1, quantity_scale=3)])


@pytest.fixture(scope="module")
def answers(corpus: Path) -> list[tuple[str, dict]]:
    """(route, body) of recorded REST answers."""
    lines = [json.loads(line) for line in (corpus / "grvt" / "rest_recorded.jsonl").read_text().splitlines()]
    return [(line["endpoint"].rpartition("/")[2], line["message"]) for line in lines]


def test_every_recorded_order_is_understood(answers, recorded) -> None:
    codec = OrderCodec(ORDERS, 6)
    creates = [body for route, body in answers if route == "create_order"]
    assert len(creates) >= 3
    for body in creates:
        fact = codec.decode_order(dense(body), 1)
        assert fact is not None
        assert (fact.order_state, fact.flags, fact.exchange_order_id) == (OrderState.PENDING_NEW, 0, b"")
    lists = [body for route, body in answers if route in ("open_orders", "order_history")]
    lists += [{"result": [body["result"]]} for route, body in answers if route == "order"]
    assert len(lists) >= 3
    told = [fact for body in lists for fact in codec.decode_orders(dense(body), 1)]
    (live,) = [message for message in recorded if message.get("stream") == "v1.order"]
    told.append(codec.order_update(dense(live["feed"]), 1))
    for fact in told:
        assert fact.flags & FactFlag.TERMS_KNOWN
        assert fact.order_state != OrderState.NONE
        assert fact.quantity > 0
        assert fact.exchange_order_id.startswith(b"0x0101")
        assert fact.client_order_id >> 63 == 0  # none of ours


def test_every_recorded_fill_is_understood(answers, recorded) -> None:
    codec = OrderCodec(ORDERS, 6)
    fills = [
        fact for route, body in answers if route == "fill_history" for fact in codec.decode_fills(dense(body), 1)[0]
    ]
    (live,) = [message for message in recorded if message.get("stream") == "v1.fill"]
    fills.append(codec.fill(dense(live["feed"]), 1))
    assert len(fills) >= 3
    for fact in fills:
        execution, index = fact.text.decode().split("-")
        assert int(fact.trade_id) == int(execution) << 16 | int(index)
        assert fact.last_quantity > 0
        assert fact.last_price > 0
        assert fact.fee_currency == b"USDT"
    assert any(fact.fee < 0 for fact in fills)  # a maker's rebate
