"""Bytes of GRVT's public streams and REST replies <-> market events. No I/O, no clock, no state but the scales.

The rule: this declared decoder is the meaning; the compiled scanner (fast_decode.pyx) may only be faster. It takes any
key order and any unknown key, and raises MalformedFrame for whatever the protocol does not allow, of one of few kinds.

exchange_time_ns is `event_time`, the only time the venue gives. A book frame with sequence number 0 is the whole book.
Trades with sequence number 0 are replays of the past that every subscription begins with, and no news.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import ROUND_DOWN, Decimal
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from exchanges.decimal_text import DecimalTextError, mantissa
from exchanges.grvt import messages
from exchanges.instrument_rows import Scales
from exchanges.market_events import (
    BookDelta,
    BookSnapshot,
    ControlReply,
    Ignored,
    Levels,
    MalformedFrame,
    MarketEvent,
    MarkPrice,
    PublicTrade,
    QuoteChange,
    Subscribed,
)
from shm.layout import MONEY_SCALE, Side

TRADE_INDEX_BITS: Final = 16
"""A trade id "<execution>-<index>" becomes execution << 16 | index: both parts, and the order, are kept."""
_TRADE_ID: Final = re.compile(r"([0-9]{1,14})-([0-9]{1,5})", re.ASCII).fullmatch
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII).fullmatch
_PERCENT: Final = 100.0

T = TypeVar("T")


class MarketCodec:
    """Decoder for the instruments of `scales` (symbol -> Scales), encoder of stream commands, full or lite names."""

    def __init__(self, scales: Mapping[str, Scales], *, lite: bool = False) -> None:
        self._scales = dict(scales)
        self._lite = lite
        self._frame = _decoder(messages.Frame, lite)
        self._decoders: dict[str, tuple[msgspec.json.Decoder[Any], Any]] = {}
        for stream, shape, event_of in (
            ("v1.book.", messages.Book, self._book),
            ("v1.mini.", messages.Mini, self._mini),
            ("v1.ticker.", messages.Ticker, self._ticker),
            ("v1.trade", messages.Trade, self._trade),
        ):
            for kind in ("s", "d") if stream.endswith(".") else ("",):
                self._decoders[stream + kind] = (_decoder(shape, lite), event_of)
        del self._decoders["v1.ticker.d"]  # a part of a ticker is no mark price

    # --- streams ----------------------------------------------------------------------------------------------------
    def decode(self, frame: bytes) -> MarketEvent:
        """The event of one text frame. Raises MalformedFrame."""
        outer = _decode(self._frame, frame)
        if outer.stream is not None and outer.feed:
            found = self._decoders.get(outer.stream)
            if found is None:
                return Ignored(f"stream {outer.stream}")
            decoder, event_of = found
            feed = _decode(decoder, bytes(outer.feed))
            if outer.selector.partition("@")[0] != feed.instrument:
                raise MalformedFrame("selector and instrument differ", f"{outer.selector} carries {feed.instrument}")
            event: MarketEvent = event_of(
                outer.stream, feed, int(outer.sequence_number), int(outer.prev_sequence_number)
            )
            return event
        if outer.error is not None:
            return ControlReply(outer.id, f"{outer.error.message} (code {outer.error.code})")
        if outer.jsonrpc is not None and outer.result is not None:
            return _subscribed(outer.result)
        raise MalformedFrame("unknown frame", _cut(frame))

    def _book(self, stream: str, feed: messages.Book, sequence: int, previous: int) -> MarketEvent:
        scales = self._scales_of(feed.instrument)
        time_ns = _time(feed.event_time)
        bids, asks = _levels(feed.bids, scales), _levels(feed.asks, scales)
        if sequence == 0 or stream == "v1.book.s":
            return BookSnapshot(feed.instrument, sequence, time_ns, bids, asks)
        return BookDelta(feed.instrument, sequence, sequence, previous, time_ns, bids, asks)

    def _mini(self, stream: str, feed: messages.Mini, sequence: int, previous: int) -> MarketEvent:
        scales = self._scales_of(feed.instrument)
        whole = sequence == 0 or stream == "v1.mini.s"
        return QuoteChange(
            feed.instrument,
            0 if whole else sequence,
            0 if whole else previous,
            _time(feed.event_time),
            _changed(feed.best_bid_price, scales.price),
            _changed(feed.best_bid_size, scales.quantity),
            _changed(feed.best_ask_price, scales.price),
            _changed(feed.best_ask_size, scales.quantity),
        )

    def _ticker(self, _stream: str, feed: messages.Ticker, _sequence: int, _previous: int) -> MarketEvent:
        self._scales_of(feed.instrument)
        if not _NUMBER(feed.mark_price):
            raise MalformedFrame("bad decimal", feed.mark_price)
        # Nine decimals on the wire, eight in a record: the venue's money is cut, never rounded.
        mark = Decimal(feed.mark_price).scaleb(MONEY_SCALE).to_integral_value(ROUND_DOWN)
        return MarkPrice(
            feed.instrument,
            _time(feed.event_time),
            int(mark),
            _float(feed.index_price),
            _float(feed.funding_rate) / _PERCENT,
            _time(feed.next_funding_time) if feed.next_funding_time else 0,
        )

    def _trade(self, _stream: str, feed: messages.Trade, sequence: int, _previous: int) -> MarketEvent:
        price, quantity = _level(feed.price, feed.size, self._scales_of(feed.instrument))
        trade_id = trade_number(feed.trade_id)
        if sequence == 0:
            return Ignored("trade of the past", expected=True)
        side = Side.BUY if feed.is_taker_buyer else Side.SELL
        return PublicTrade(feed.instrument, trade_id, _time(feed.event_time), price, quantity, side)

    # --- commands ---------------------------------------------------------------------------------------------------
    def subscribe(self, stream: str, selectors: list[str], request_id: int) -> bytes:
        return self._command("subscribe", stream, selectors, request_id)

    def unsubscribe(self, stream: str, selectors: list[str], request_id: int) -> bytes:
        return self._command("unsubscribe", stream, selectors, request_id)

    def _command(self, method: str, stream: str, selectors: list[str], request_id: int) -> bytes:
        if self._lite:
            parameters = {"s": stream, "s1": selectors}
            return msgspec.json.encode({"j": "2.0", "m": method, "p": parameters, "i": request_id})
        parameters = {"stream": stream, "selectors": selectors}
        return msgspec.json.encode({"jsonrpc": "2.0", "method": method, "params": parameters, "id": request_id})

    def _scales_of(self, symbol: str) -> Scales:
        scales = self._scales.get(symbol)
        if scales is None:
            raise MalformedFrame("unknown symbol", symbol)
        return scales


def trade_number(text: str) -> int:
    """A trade id as a number. Raises MalformedFrame."""
    parts = _TRADE_ID(text)
    if parts is None or int(parts[2]) >> TRADE_INDEX_BITS:
        raise MalformedFrame("bad trade id", text)
    return int(parts[1]) << TRADE_INDEX_BITS | int(parts[2])


def _subscribed(result: messages.SubscribeResult) -> Subscribed | ControlReply:
    if not result.subs:
        return ControlReply(None)
    firsts = result.first_sequence_number
    return Subscribed(result.stream, {selector: int(n) for selector, n in zip(result.subs, firsts, strict=False)})


def _decoder(shape: type[Any], lite: bool) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(messages.lite(shape) if lite else shape)


def _decode(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise MalformedFrame("unexpected shape", f"{error} in {_cut(data)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedFrame("not JSON", f"{error} in {_cut(data)}") from None


def _levels(levels: list[messages.Level], scales: Scales) -> Levels:
    return [_level(level.price, level.size, scales) for level in levels]


def _level(price: str, size: str, scales: Scales) -> tuple[int, int]:
    result = _mantissa(price, scales.price), _mantissa(size, scales.quantity)
    if result[0] == 0:
        raise MalformedFrame("price of zero", f"size {size}")
    return result


def _changed(text: str | UnsetType | None, scale: int) -> int | None:
    """None: unchanged. Null and "" say that there is none, which is zero here."""
    if text is UNSET:
        return None
    return _mantissa(str(text), scale) if text else 0


def _mantissa(text: str, scale: int) -> int:
    try:
        value = mantissa(text, scale)
    except DecimalTextError as error:
        raise MalformedFrame("bad decimal", str(error)) from None
    if value < 0:
        raise MalformedFrame("negative number", text)
    return value


def _time(text: str) -> int:
    value = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= value <= 9_000_000_000_000_000_000:
        raise MalformedFrame("bad time", text)
    return value


def _float(text: str) -> float:
    """Numbers of no exact use (index, funding, which may be negative); "" = none sent."""
    if not text:
        return math.nan
    if not _NUMBER(text):
        raise MalformedFrame("bad decimal", text)
    return float(text)


def _cut(data: bytes, limit: int = 160) -> str:
    text = data[:limit].decode("utf-8", "replace")
    return text if len(data) <= limit else f"{text}…"
