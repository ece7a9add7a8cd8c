"""Recordings as a flow: composed ones for the rules, the real ones (where present) for the whole path."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from exchanges.binance.simulator import DEMO_KEY, SimulatorOptions, SimulatorServer, serve
from exchanges.binance.simulator_recording import RecordedFlow
from exchanges.simulator.errors import SimulatorError
from exchanges.simulator.flow import AggregateTrade, Delta, MarketTrade, MarkTick, OtherFrame, Top
from tests.exchanges.binance.simulator_client import Client, receive, until

START_NS = 1_700_000_000_500_000_000
START_MS = 1_700_000_000_510
"""The recorder's clock is 10 ms behind the venue's."""


def depth(first: int, last: int, before: int, bids: str, asks: str, at: int) -> tuple[int, str]:
    data = (
        f'{{"e":"depthUpdate","E":{START_MS + at},"T":{START_MS + at},"s":"BTCUSDT",'
        f'"U":{first},"u":{last},"pu":{before},"b":[{bids}],"a":[{asks}]}}'
    )
    return at, f'{{"stream":"btcusdt@depth@0ms","data":{data}}}'


def ticker(update_id: int, bid: str, ask: str, at: int) -> tuple[int, str]:
    data = (
        f'{{"e":"bookTicker","u":{update_id},"s":"BTCUSDT","b":"{bid}","B":"1.000","a":"{ask}","A":"2.000",'
        f'"T":{START_MS + at},"E":{START_MS + at}}}'
    )
    return at, f'{{"stream":"btcusdt@bookTicker","data":{data}}}'


def traded(number: int, price: str, quantity: str, maker: bool, at: int) -> tuple[int, str]:
    shown = "true" if maker else "false"
    data = (
        f'{{"e":"trade","E":{START_MS + at},"T":{START_MS + at},"s":"BTCUSDT","t":{number},"p":"{price}",'
        f'"q":"{quantity}","X":"MARKET","m":{shown}}}'
    )
    return at, f'{{"stream":"btcusdt@trade","data":{data}}}'


REPLY = '{"lastUpdateId":150,"E":5,"T":4,"bids":[["61800.00","1.000"]],"asks":[["61800.10","2.000"]]}'
LINES = [
    depth(90, 110, 80, '["61800.00","9.000"]', "", 0),
    ticker(111, "61800.00", "61800.10", 10),
    depth(120, 140, 110, '["61799.00","9.000"]', "", 50),
    depth(141, 160, 140, '["61799.90","3.000"]', '["61800.10","2.000"]', 100),
    (120, REPLY),
    traded(7, "61800.10", "0.010", False, 130),
    traded(8, "61800.10", "0.020", False, 140),
    traded(9, "61800.00", "0.030", True, 150),
    depth(170, 180, 160, '["61800.00","4.000"]', "", 200),
    (210, '{"stream":"btcusdt@kline_1m","data":{"e":"kline","E":1700000000720,"k":{}}}'),
    ticker(200, "61800.00", "61800.10", 1200),
]


def write(path: Path, lines: list[tuple[int, str]]) -> Path:
    text = "".join(f"{START_NS + at * 1_000_000} {line}\n" for at, line in lines)
    path.write_bytes(gzip.compress(text.encode()))
    return path


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return write(tmp_path / "btc.gz", LINES)


def drain(flow: RecordedFlow) -> list[Any]:
    events = []
    while flow.next_due_ns() is not None:
        events.append(flow.pop())
    return events


def test_events_keep_their_bytes_and_the_missing_streams_are_made(recording: Path) -> None:
    flow = RecordedFlow(recording)
    assert (flow.symbol, flow.frames, flow.lacks, flow.span_ns) == (
        "BTCUSDT",
        10,
        ("aggTrade", "markPrice"),
        1_200_000_000,
    )
    events = drain(flow)
    frames = [event.frame for event in events if event.frame is not None]
    assert [b'{"stream":"' + e.stream.encode() + b'","data":' + e.frame + b"}" for e in events if e.frame] == [
        line.encode() for _, line in LINES if not line.startswith('{"last')
    ]
    assert len(frames) == 10
    assert [event.due_ns for event in events] == sorted(event.due_ns for event in events)
    groups = [event for event in events if isinstance(event, AggregateTrade)]
    assert [(str(g.price), str(g.quantity), g.first_trade_id, g.last_trade_id) for g in groups] == [
        ("61800.10", "0.030", 7, 8),
        ("61800.00", "0.030", 9, 9),
    ]
    marks = [event.event_ms for event in events if isinstance(event, MarkTick)]
    assert marks == [1_700_000_001_000]
    assert {type(event) for event in events} == {Delta, Top, MarketTrade, AggregateTrade, MarkTick, OtherFrame}


def test_two_loads_play_the_same_events(recording: Path) -> None:
    assert drain(RecordedFlow(recording)) == drain(RecordedFlow(recording))


def test_deltas_older_than_the_snapshot_are_sent_but_not_applied(recording: Path) -> None:
    deltas = [event for event in drain(RecordedFlow(recording)) if isinstance(event, Delta)]
    assert [delta.matched for delta in deltas] == [False, False, True, True]


def test_the_next_delta_is_known_before_it_plays(recording: Path) -> None:
    flow = RecordedFlow(recording)
    coming = []
    while flow.next_due_ns() is not None:
        expected = flow.next_delta_id("BTCUSDT")
        event = flow.pop()
        if isinstance(event, Delta):
            coming.append((expected, event.first_id))
    assert coming == [(90, 90), (120, 120), (141, 141), (170, 170)]
    assert flow.next_delta_id("BTCUSDT") is None


def test_what_a_recording_has_is_not_made(tmp_path: Path) -> None:
    aggregate = '{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1700000000700}}'
    mark = '{"stream":"btcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1700000000800,"p":"1.5"}}'
    flow = RecordedFlow(write(tmp_path / "r.gz", [*LINES[:-1], (220, aggregate), (230, mark), LINES[-1]]))
    assert flow.lacks == ()
    assert not any(isinstance(event, AggregateTrade | MarkTick) for event in drain(flow))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{}", "expected a combined-stream frame or a depth reply"),
        ('{"stream":"btcusdt@trade"}', "expected"),
        ('{"stream":"btcusdt@trade","data":{"e":"trade"}}', "expected a trade frame"),
        (ticker(1, "cheap", "61800.10", 0)[1], "expected a bookTicker frame"),
        (depth(1, 2, 0, '["1"]', "", 0)[1], "expected a depth frame"),
        (depth(1, 2, 0, '["1","x"]', "", 0)[1], "expected a depth frame"),
        (depth(1, 2, 0, "", "", 0)[1][:-9] + "}}", "line 3"),
        ('{"lastUpdateId":"x"}', "expected a depth reply"),
        ('{"stream":"ethusdt@kline_1m","data":{}}', "expected frames of BTCUSDT alone, found ETHUSDT"),
    ],
)
def test_a_malformed_line_is_one_sentence_with_its_number(tmp_path: Path, line: str, words: str) -> None:
    path = write(tmp_path / "r.gz", [LINES[0], LINES[1], (12, line), *LINES[2:]])
    with pytest.raises(SimulatorError) as error:
        RecordedFlow(path)
    assert words in str(error.value)
    assert "line 3" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_recording_without_a_snapshot_or_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SimulatorError, match="holds no REST depth reply"):
        RecordedFlow(write(tmp_path / "a.gz", LINES[:3]))
    with pytest.raises(SimulatorError, match="holds no stream frames"):
        RecordedFlow(write(tmp_path / "b.gz", [(0, REPLY)]))


async def test_before_the_stream_reaches_it_the_recorded_reply_is_the_snapshot_byte_for_byte(recording: Path) -> None:
    options = SimulatorOptions(recordings=(str(recording),))
    async with (
        await serve(options) as server,
        aiohttp.ClientSession() as session,
        session.get(server.rest_url + "/fapi/v1/depth?symbol=BTCUSDT&limit=1000") as response,
    ):
        assert await response.read() == REPLY.encode()


async def test_the_flow_waits_for_its_first_subscriber_plays_and_says_when_it_ends(recording: Path) -> None:
    options = SimulatorOptions(recordings=(str(recording),), speed=math.inf, start_delay_ms=0)
    async with await serve(options) as server, aiohttp.ClientSession() as session:
        client = Client(session, server, DEMO_KEY)
        assert (await client.admin("GET", "/admin/health"))[1]["flows"][0]["state"] == "waiting"
        stream = await client.connect("/public/stream?streams=btcusdt@depth@100ms")
        got = [await receive(stream) for _ in range(4)]
        assert {frame["stream"] for frame in got} == {"btcusdt@depth@100ms"}
        assert [frame["data"]["u"] for frame in got] == [110, 140, 160, 180]
        await until(lambda: server.health()["flows"][0]["state"] == "ended")
        _, health = await client.admin("GET", "/admin/health")
        assert (health["flows"][0]["position_s"], health["ok"]) == (1.2, True)
        _, snapshot = await client.call("GET", "/fapi/v1/depth", signed=False, symbol="BTCUSDT", limit=5)
        assert (snapshot["lastUpdateId"], snapshot["bids"]) == (180, [["61800.00", "4.000"], ["61799.90", "3.000"]])


async def test_starting_at_once_is_an_option(recording: Path) -> None:
    options = SimulatorOptions(recordings=(str(recording),), speed=math.inf, start="at_once")
    async with await serve(options) as server:
        await until(lambda: server.health()["flows"][0]["state"] == "ended")


class PlainBook:
    """The documented algorithm, on its own: what a careful client keeps."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self.last = snapshot["lastUpdateId"]
        self.bids: dict[str, str] = dict(snapshot["bids"])
        self.asks: dict[str, str] = dict(snapshot["asks"])
        self.applied = self.dropped = self.gaps = 0

    def apply(self, event: dict[str, Any]) -> None:
        if not self.applied:
            if event["u"] < self.last:
                self.dropped += 1
                return
            assert event["U"] <= self.last <= event["u"], "the snapshot does not fit the stream"
        elif event["pu"] != self.last:
            self.gaps += 1
        self.applied += 1
        self.last = event["u"]
        for side, changes in ((self.bids, event["b"]), (self.asks, event["a"])):
            for price, quantity in changes:
                if float(quantity):
                    side[price] = quantity
                else:
                    side.pop(price, None)

    def best(self) -> tuple[float, float]:
        return max(map(float, self.bids)), min(map(float, self.asks))


@pytest.mark.parametrize("name", ["btcusdt", "ethusdt"])
async def test_a_whole_real_recording_keeps_a_clients_book_without_a_gap(corpus: Path, name: str) -> None:
    path = corpus / "binance" / "hftbacktest-2024" / f"{name}_20240808.gz"
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    server = await serve(SimulatorOptions(recordings=(str(path),), speed=math.inf, start_delay_ms=0))
    async with server, aiohttp.ClientSession() as session:
        await replay(server, Client(session, server, DEMO_KEY), name)


async def replay(server: SimulatorServer, client: Client, name: str) -> None:
    stream = await client.session.ws_connect(
        f"{server.stream_url}/public/stream?streams={name}@depth@100ms", max_msg_size=0
    )
    first: dict[str, Any] | None = None
    early, late, frames = PlainBook({"lastUpdateId": 0, "bids": [], "asks": []}), None, 0
    buffered: list[dict[str, Any]] = []
    async for message in stream:
        event = orjson.loads(message.data)["data"]
        frames += 1
        if first is None:
            _, first = await client.call("GET", "/fapi/v1/depth", signed=False, symbol=name.upper(), limit=1000)
            early = PlainBook(first)
        early.apply(event)
        if late is None and frames >= 2000:
            buffered.append(event)
            if len(buffered) == 1:
                # The stream goes on while the snapshot travels: what comes is buffered and applied by its ids.
                _, snapshot = await client.call("GET", "/fapi/v1/depth", signed=False, symbol=name.upper(), limit=1000)
            if buffered[-1]["u"] >= snapshot["lastUpdateId"]:
                late = PlainBook(snapshot)
                for one in buffered:
                    late.apply(one)
        elif late is not None:
            late.apply(event)
        if frames == (6551 if name == "btcusdt" else 6586):
            break
    assert late is not None
    assert early.gaps == late.gaps == 0
    assert early.applied + early.dropped == frames
    assert late.applied > 4000
    assert early.best() == late.best()
    assert early.best()[0] < early.best()[1]
    book = server.venue.book(name.upper())
    assert early.best() == (float(book.bids.prices[-1]), float(book.asks.prices[0]))
    # The client knows what its 1000 levels and the stream told it: every level of it is the venue's.
    for mine, theirs in ((early.bids, book.bids.quantities), (early.asks, book.asks.quantities)):
        venues = {float(price): float(quantity) for price, quantity in theirs.items()}
        assert len(mine) > 1000
        assert {float(price): float(quantity) for price, quantity in mine.items()}.items() <= venues.items()
