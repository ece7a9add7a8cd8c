"""A recorded Binance market as a flow: its frames go out byte for byte, our orders meet its book and trades.

The file (see `exchanges.simulator.recording`) holds combined-stream frames `{"stream":..,"data":..}` of one symbol and
one REST depth reply. What it lacks is made from it: aggTrade from its trades (100 ms groups) and a mark price, the
middle of its book, at each full second of its own clock. Until the stream has passed the recorded depth reply, that
reply is the snapshot; clients drop the frames before it, as the venue's rule says.

Everything is read and checked at load (every frame once, typed); while it plays only the levels of deltas are decoded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path

import msgspec

from exchanges.simulator.aggregate import TradeAggregator
from exchanges.simulator.book import Level
from exchanges.simulator.errors import SimulatorError
from exchanges.simulator.flow import (
    AggregateTrade,
    Delta,
    MarketEvent,
    MarketTrade,
    MarkTick,
    OtherFrame,
    Snapshot,
    Top,
)
from exchanges.simulator.recording import malformed, read_lines

_STREAM = b'{"stream":"'
_DATA = b'","data":'
MARK_EVERY_MS = 1000


class _BookTicker(msgspec.Struct, gc=False):
    u: int
    s: str
    b: str
    B: str
    a: str
    A: str
    T: int
    E: int


class _Trade(msgspec.Struct, gc=False):
    E: int
    T: int
    s: str
    t: int
    p: str
    q: str
    m: bool


class _DeltaIds(msgspec.Struct, gc=False):
    """A depth frame without its levels: they are skipped, not built."""

    E: int
    T: int
    s: str
    U: int
    u: int
    pu: int


class _DeltaLevels(msgspec.Struct, gc=False):
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]


class _DepthReply(msgspec.Struct, gc=False):
    lastUpdateId: int
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]
    E: int = 0
    T: int = 0


class _Other(msgspec.Struct, gc=False):
    E: int = 0


Recorded = _BookTicker | _Trade | _DeltaIds | _Other
Raw = Recorded | AggregateTrade | MarkTick
_BOOK_TICKER = msgspec.json.Decoder(_BookTicker)
_TRADE = msgspec.json.Decoder(_Trade)
_DELTA_IDS = msgspec.json.Decoder(_DeltaIds)
_OTHER = msgspec.json.Decoder(_Other)
_LEVELS = msgspec.json.Decoder(_DeltaLevels)
_REPLY = msgspec.json.Decoder(_DepthReply)


@dataclass(slots=True)
class _Loading:
    """What is being gathered while a file is read."""

    path: Path
    symbol: str = ""
    first_ns: int = 0
    last_due_ns: int = 0
    mark_due_ms: int = 0
    snapshot: Snapshot | None = None
    timeline: list[tuple[int, bytes | None, str, Raw]] = field(default_factory=list)
    aggregator: TradeAggregator | None = None
    has_aggregate: bool = False
    has_mark: bool = False
    last_event_ms: int = 0


class RecordedFlow:
    """One symbol's recording."""

    def __init__(self, path: Path) -> None:
        loading = _load(path)
        assert loading.snapshot is not None
        self.path = path
        self.symbol = loading.symbol
        self.symbols: tuple[str, ...] = (loading.symbol,)
        self.lacks = tuple(
            name for name, has in (("aggTrade", loading.has_aggregate), ("markPrice", loading.has_mark)) if not has
        )
        """Streams that are made from the recording because it has none."""
        self.frames = sum(1 for _, frame, _, _ in loading.timeline if frame is not None)
        self.span_ns = loading.last_due_ns
        self._snapshot = loading.snapshot
        self._timeline = loading.timeline
        self._delta_ids = [raw.U for _, _, _, raw in self._timeline if isinstance(raw, _DeltaIds)]
        self._deltas = 0
        self._next = 0

    def snapshot(self, symbol: str) -> Snapshot:
        return self._snapshot

    def next_due_ns(self) -> int | None:
        return self._timeline[self._next][0] if self._next < len(self._timeline) else None

    def next_delta_id(self, symbol: str) -> int | None:
        return self._delta_ids[self._deltas] if self._deltas < len(self._delta_ids) else None

    def pop(self) -> MarketEvent:
        due, frame, stream, raw = self._timeline[self._next]
        self._next += 1
        if isinstance(raw, _BookTicker):
            return Top(
                due,
                raw.s,
                raw.E,
                raw.T,
                frame,
                stream,
                Decimal(raw.b),
                Decimal(raw.B),
                Decimal(raw.a),
                Decimal(raw.A),
                raw.u,
            )
        if isinstance(raw, _Trade):
            return MarketTrade(due, raw.s, raw.E, raw.T, frame, stream, Decimal(raw.p), Decimal(raw.q), raw.m, raw.t)
        if isinstance(raw, _DeltaIds):
            self._deltas += 1
            assert frame is not None
            levels = _LEVELS.decode(frame)
            # Frames up to the recorded snapshot are older than the book we start from: they are sent, not applied.
            matched = raw.u >= self._snapshot.update_id
            return Delta(
                due,
                raw.s,
                raw.E,
                raw.T,
                frame,
                stream,
                _exact(levels.b),
                _exact(levels.a),
                raw.U,
                raw.u,
                raw.pu,
                matched,
            )
        if isinstance(raw, _Other):
            return OtherFrame(due, self.symbol, raw.E, raw.E, frame, stream)
        return raw


def _exact(levels: list[tuple[str, str]]) -> list[Level]:
    return [(Decimal(price), Decimal(quantity)) for price, quantity in levels]


def _load(path: Path) -> _Loading:
    loading = _Loading(path)
    for number, stamp, body in read_lines(path):
        if not loading.first_ns:
            loading.first_ns = stamp
        loading.last_due_ns = due = max(stamp - loading.first_ns, loading.last_due_ns)
        if body.startswith(_STREAM):
            _load_frame(loading, number, due, body)
        elif body.startswith(b'{"lastUpdateId"'):
            _load_reply(loading, number, body)
        else:
            raise malformed(path, number, "expected a combined-stream frame or a depth reply", body)
    if not loading.timeline or not loading.symbol:
        raise SimulatorError(f"recording {path} holds no stream frames")
    if loading.snapshot is None:
        raise SimulatorError(f"recording {path} holds no REST depth reply, so its book cannot be built")
    # What the recording has itself is not made.
    unwanted = tuple(
        kind for kind, has in ((AggregateTrade, loading.has_aggregate), (MarkTick, loading.has_mark)) if has
    )
    loading.timeline = [entry for entry in loading.timeline if not isinstance(entry[3], unwanted)]
    loading.timeline.sort(key=lambda entry: entry[0])  # made events were added where their time was known: stable
    return loading


def _load_frame(loading: _Loading, number: int, due: int, body: bytes) -> None:
    name_end = body.find(_DATA)
    if name_end < 0 or not body.endswith(b"}}"):
        raise malformed(loading.path, number, 'expected {"stream":"..","data":{..}}', body)
    stream = body[len(_STREAM) : name_end].decode()
    frame = body[name_end + len(_DATA) : -1]
    name, _, kind = stream.partition("@")
    kind = kind.partition("@")[0]
    symbol = name.upper()
    if not loading.symbol:
        loading.symbol = symbol
    if symbol != loading.symbol:
        raise SimulatorError(
            f"recording {loading.path}, line {number}: expected frames of {loading.symbol} alone, found {symbol}; "
            f"give one file per symbol"
        )
    raw: Recorded
    try:
        if kind == "bookTicker":
            raw = _BOOK_TICKER.decode(frame)
            _check_numbers(raw.b, raw.B, raw.a, raw.A)
        elif kind == "trade":
            raw = _TRADE.decode(frame)
            _check_numbers(raw.p, raw.q)
        elif kind == "depth":
            raw = _DELTA_IDS.decode(frame)
            levels = _LEVELS.decode(frame)
            for level in (*levels.b, *levels.a):
                _check_numbers(*level)
        else:
            raw = _OTHER.decode(frame)
    except (msgspec.DecodeError, InvalidOperation) as error:
        raise malformed(loading.path, number, f"expected a {kind} frame ({error})", frame) from None
    _make_marks(loading, due, raw.E)
    if isinstance(raw, _Trade):
        trade = MarketTrade(due, symbol, raw.E, raw.T, None, None, Decimal(raw.p), Decimal(raw.q), raw.m, raw.t)
        if loading.aggregator is None:
            loading.aggregator = TradeAggregator(raw.t)
        for group in loading.aggregator.push(trade):
            loading.timeline.append((group.due_ns, None, "", group))
    elif loading.aggregator is not None:
        for group in loading.aggregator.flush(due):
            loading.timeline.append((group.due_ns, None, "", group))
    loading.has_aggregate |= kind == "aggTrade"
    loading.has_mark |= kind == "markPrice"
    loading.timeline.append((due, frame, stream, raw))


def _make_marks(loading: _Loading, due: int, event_ms: int) -> None:
    """One mark tick at each full second of the recorded clock that has passed since the last frame."""
    if not event_ms or event_ms < loading.last_event_ms:
        return
    loading.last_event_ms = event_ms
    if not loading.mark_due_ms:
        loading.mark_due_ms = event_ms - event_ms % MARK_EVERY_MS + MARK_EVERY_MS
    while event_ms >= loading.mark_due_ms:
        at = loading.mark_due_ms
        loading.timeline.append((due, None, "", MarkTick(due, loading.symbol, at, at, None, None)))
        loading.mark_due_ms += MARK_EVERY_MS


def _load_reply(loading: _Loading, number: int, body: bytes) -> None:
    try:
        reply = _REPLY.decode(body)
        bids, asks = _exact(reply.bids), _exact(reply.asks)
    except (msgspec.DecodeError, InvalidOperation) as error:
        raise malformed(loading.path, number, f"expected a depth reply ({error})", body) from None
    if loading.snapshot is None:
        loading.snapshot = Snapshot(bids, asks, reply.lastUpdateId, reply.E, reply.T, body)


def _check_numbers(*texts: str) -> None:
    for shown in texts:
        Decimal(shown)
