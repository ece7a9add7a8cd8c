"""Every recorded message of the venue decodes; composed ones stand in where nobody has recorded any."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from exchanges.grvt.codec import MarketCodec
from exchanges.grvt.fast_decode import FrameScanner
from exchanges.instrument_rows import Scales
from exchanges.market_events import BookSnapshot, ControlReply, Ignored, MarkPrice, QuoteChange, Subscribed
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
