"""The compiled scanner against the declared decoder: what it takes, both understand alike; it never looks too far."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exchanges.binance.codec import MarketCodec
from exchanges.binance.fast_decode import FrameScanner, MarketListener
from exchanges.instrument_rows import Scales
from exchanges.market_events import BestQuote, BookDelta, MalformedFrame, MarketEvent, PublicTrade
from shm.layout import MarketStatusCode, RecordKind, Side
from tests.exchanges.frame_fuzz import Target, memory_that_ends
from tests.exchanges.live_listener import ListenerPath, check_that_no_prefix_is_taken

SCALES = {"BTCUSDT": Scales(2, 3), "AKROUSDT": Scales(5, 0), "币安USDT": Scales(4, 1)}
CODEC = MarketCodec(SCALES)


def make_scanner() -> FrameScanner:
    scanner = FrameScanner()
    for symbol, scales in SCALES.items():
        scanner.add(symbol, *scales)
    return scanner


SCANNER = make_scanner()


def frames_2024() -> dict[str, bytes]:
    return {
        "depth": b'{"e":"depthUpdate","E":1723161256299,"T":1723161256298,"s":"BTCUSDT","U":51,"u":57,"pu":50,'
        b'"b":[["58710.20","0.014"],["61510.90","0.000"]],"a":[["61800.30","2.5"]]}',
        "empty": b'{"e":"depthUpdate","E":1,"T":1,"s":"AKROUSDT","U":5,"u":5,"pu":4,"b":[],"a":[["0.01737","437848"]]}',
        "bookTicker": b'{"e":"bookTicker","u":5123107839020,"s":"BTCUSDT","b":"61800.20","B":"2.507","a":"61800.30",'
        b'"A":"2.510","T":1723161256313,"E":1723161256313}',
        "trade": b'{"e":"trade","E":1723161256322,"T":1723161256321,"s":"BTCUSDT","t":5266583935,"p":"61800.30",'
        b'"q":"0.006","X":"MARKET","m":false}',
        "aggTrade": b'{"e":"aggTrade","E":1626992741100,"a":1,"s":"AKROUSDT","p":"0.01737","q":"10","f":7,"l":9,'
        b'"T":1626992741000,"m":true}',
    }


def frames_2026() -> dict[str, bytes]:
    return {
        "depth": b'{"e":"depthUpdate","E":1790000000085,"T":1790000000081,"s":"BTCUSDT","ps":"BTCUSDT",'
        b'"U":9000000003245,"u":9000000007966,"pu":9000000003147,"b":[["84541.00","0.003"]],"a":[["84551.10","5.302"]],"st":1}',
        "bookTicker": b'{"e":"bookTicker","u":9000000005961,"s":"BTCUSDT","ps":"BTCUSDT","b":"84551.00","B":"2.646",'
        b'"a":"84551.10","A":"5.302","T":1790000000039,"E":1790000000040,"st":1}',
        "trade": b'{"e":"trade","E":1790000000030,"T":1790000000029,"s":"BTCUSDT","t":5260000001,"p":"61650.00",'
        b'"q":"0.004","X":"MARKET","m":true,"st":1}',
        "aggTrade": b'{"e":"aggTrade","E":1790000000033,"a":3466780001,"s":"BTCUSDT","p":"84551.10","q":"0.030",'
        b'"nq":"0.030","f":8123340001,"l":8123340003,"T":1790000000000,"m":false,"st":1}',
    }


def stream_of(kind: str, symbol: str) -> str:
    return f"{symbol.lower()}@{'depth@100ms' if kind in ('depth', 'empty') else kind}"


def every_frame() -> list[bytes]:
    frames = []
    for era in (frames_2024(), frames_2026()):
        for kind, frame in era.items():
            symbol = "AKROUSDT" if b"AKRO" in frame else "BTCUSDT"
            frames += [frame, b'{"stream":"%s","data":%s}' % (stream_of(kind, symbol).encode(), frame)]
    return frames


FRAMES = every_frame()
FUZZ_TARGETS = [Target("binance", FRAMES, SCANNER.decode, CODEC.decode)]


def agree(frame: bytes) -> bool:
    """True where the scanner took the frame; then the declared decoder must have understood the very same."""
    fast = SCANNER.decode(frame)
    if fast is None:
        return False
    assert CODEC.decode(frame) == fast, frame
    return True


@pytest.mark.parametrize("frame", FRAMES)
def test_every_recorded_shape_is_taken_and_understood_alike(frame: bytes) -> None:
    assert agree(frame)


def test_symbols_that_are_not_ascii_are_taken_too() -> None:
    frame = frames_2024()["trade"].replace(b"BTCUSDT", "币安USDT".encode()).replace(b'"0.006"', b'"0.6"')
    assert agree(frame)
    assert agree('{"stream":"币安usdt@trade","data":'.encode() + frame + b"}")


prices = st.decimals(min_value="0.01", max_value="999999999999", places=2).map(str)
quantities = st.decimals(min_value="0.000", max_value="999999999999", places=3).map(str)
sides = st.lists(st.tuples(prices, quantities), max_size=40)
ids = st.integers(0, 10**18 - 1)
times = st.integers(0, 9 * 10**12)


def side_text(levels: list[tuple[str, str]]) -> str:
    return ",".join(f'["{price}","{quantity}"]' for price, quantity in levels)


@given(bids=sides, asks=sides, event=times, first=ids, last=ids, previous=ids, pair=st.booleans(), kind=st.booleans())
def test_generated_deltas_are_taken_and_understood_alike(
    bids: list[tuple[str, str]], asks: list[tuple[str, str]], event: int, first: int, last: int, previous: int,
    pair: bool, kind: bool,
) -> None:  # fmt: skip
    frame = (
        f'{{"e":"depthUpdate","E":{event},"T":{event},"s":"BTCUSDT",PAIR"U":{min(first, last)},"u":{max(first, last)},'
        f'"pu":{previous},"b":[{side_text(bids)}],"a":[{side_text(asks)}]KIND}}'
    )
    frame = frame.replace("PAIR", '"ps":"BTCUSDT",' if pair else "").replace("KIND", ',"st":1' if kind else "")
    assert agree(frame.encode())


# --- frames of any legal wording --------------------------------------------------------------------------------------
FIELDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "depthUpdate": {"E": times, "T": times, "U": ids, "u": ids, "pu": ids, "b": sides, "a": sides},
    "bookTicker": {"u": ids, "b": prices, "B": quantities, "a": prices, "A": quantities, "T": times, "E": times},
    "trade": {
        "E": times, "T": times, "t": ids, "p": prices, "q": quantities, "X": st.just("MARKET"), "m": st.booleans(),
    },
    "aggTrade": {
        "E": times, "a": ids, "p": prices, "q": quantities, "f": ids, "l": ids, "T": times, "m": st.booleans(),
    },
}  # fmt: skip
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def scaled(text: str, scale: int) -> int:
    return int(Decimal(text).scaleb(scale))


def meaning(kind: str, fields: dict[str, Any]) -> MarketEvent:
    """What such a message says, worked out here from its fields."""
    price, quantity = (lambda text: scaled(text, 2)), (lambda text: scaled(text, 3))
    if kind == "depthUpdate":
        bids, asks = ([(price(p), quantity(q)) for p, q in fields[side]] for side in "ba")
        return BookDelta("BTCUSDT", fields["U"], fields["u"], fields["pu"], fields["E"] * 10**6, bids, asks)
    if kind == "bookTicker":
        best = price(fields["b"]), quantity(fields["B"]), price(fields["a"]), quantity(fields["A"])
        return BestQuote("BTCUSDT", fields["u"], fields["E"] * 10**6, *best)
    side = Side.SELL if fields["m"] else Side.BUY
    what = price(fields["p"]), quantity(fields["q"]), side
    if kind == "trade":
        return PublicTrade("BTCUSDT", fields["t"], fields["T"] * 10**6, *what)
    count = min(fields["l"] - fields["f"] + 1, 0xFFFF_FFFF)
    return PublicTrade("BTCUSDT", fields["f"], fields["T"] * 10**6, *what, aggregated=True, trade_count=count)


def worded(message: dict[str, Any], blanks: bool, escaped: bool) -> bytes:
    """JSON of it; `escaped` writes every character of every text and key as an escape."""
    text = json.dumps(message, separators=(", ", ": ") if blanks else (",", ":"), ensure_ascii=escaped)
    if escaped:
        text = re.sub(r'"(?:[^"\\]|\\.)*"', lambda found: escaped_text(json.loads(found[0])), text)
    return text.encode("utf-8", "surrogatepass")


def escaped_text(text: str) -> str:
    units = memoryview(text.encode("utf-16-le", "surrogatepass")).cast("H")
    return '"' + "".join(f"\\u{unit:04x}" for unit in units) + '"'


@given(data=st.data(), kind=st.sampled_from(sorted(FIELDS)))
def test_any_wording_of_a_message_means_the_same_to_both_decoders(data: st.DataObject, kind: str) -> None:
    """Any order of keys, keys that nobody knows, blanks, escapes, empty sides; in a wrapper or bare."""
    fields = {name: data.draw(values, name) for name, values in FIELDS[kind].items()}
    for low, high in (("U", "u"), ("f", "l")):
        if low in fields:
            fields[low], fields[high] = sorted((fields[low], fields[high]))
    message = {"e": kind, "s": "BTCUSDT"} | fields
    wire_order = data.draw(st.booleans(), "wire order")
    if not wire_order:
        unknown = data.draw(
            st.dictionaries(st.text(st.characters(codec="ascii"), min_size=3, max_size=6), junk, max_size=2)
        )
        message = {name: value for name, value in unknown.items() if name not in FIELDS[kind]} | message
        message = dict(data.draw(st.permutations(list(message.items())), "order"))
    frame = worded(message, data.draw(st.booleans(), "blanks"), data.draw(st.booleans(), "escapes"))
    if data.draw(st.booleans(), "wrapped"):
        stream = stream_of("depth" if kind == "depthUpdate" else kind, "BTCUSDT")
        frame = b'{"stream":"%s","data":%s}' % (stream.encode(), frame)
    expected = meaning(kind, fields)
    assert CODEC.decode(frame) == expected
    assert SCANNER.decode(frame) in (None, expected)


@given(levels=st.lists(st.tuples(prices, quantities), min_size=1000, max_size=1000))
@settings(max_examples=5, suppress_health_check=list(HealthCheck))
def test_a_side_of_a_thousand_levels_is_taken_whole(levels: list[tuple[str, str]]) -> None:
    frame = frames_2024()["depth"].replace(b'["61800.30","2.5"]', side_text(levels).encode())
    assert agree(frame)
    event = SCANNER.decode(frame)
    assert isinstance(event, BookDelta)
    assert event.asks == [(scaled(price, 2), scaled(quantity, 3)) for price, quantity in levels]


@pytest.mark.parametrize(
    "number", ["1e5", "1E5", "1e-1", "1.5e+3", "+1", "0x10", "1_000", "Infinity", "NaN", " 1", "1 ", ""]
)
def test_numbers_of_another_notation_are_nobodys(number: str) -> None:
    for frame in (frames_2024()["depth"].replace(b"58710.20", number.encode()),
                  frames_2024()["bookTicker"].replace(b"2.507", number.encode())):  # fmt: skip
        assert SCANNER.decode(frame) is None
        with pytest.raises(MalformedFrame):
            CODEC.decode(frame)


# --- what it must not take --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"st":1', b'"st":2'),
        (b'"ps":"BTCUSDT"', b'"ps":"BTCUSD"'),
        (b'"s":"BTCUSDT"', b'"s":"ETHUSDT"'),
        (b'"s":"BTCUSDT"', b'"s":"BTC\\u0055SDT"'),
        (b'"s":"BTCUSDT"', b'"s":"' + b"X" * 500 + b'"'),
        (b'"84541.00"', b'"84541.001"'),
        (b'"84541.00"', b'"-84541.00"'),
        (b'"84541.00"', b'"0.00"'),
        (b'"84541.00"', b'"8454100000000000000000"'),
        (b'"84541.00"', b"84541.00"),
        (b'"84541.00","0.003"', b'"84541.00","0.003","1"'),
        (b'"U":9000000003245', b'"U":9000000007967'),
        (b'"U":9000000003245', b'"U":09000000003245'),
        (b'"U":9000000003245', b'"U":9000000003245.0'),
        (b'"U":9000000003245', b'"U":-1'),
        (b'"U":9000000003245', b'"U":1' + b"0" * 30),
        (b'"E":1790000000085', b'"E":99999999999999'),
        (b'"E":', b'"E": '),
        (b',"st":1}', b',"st":1} '),
        (b',"st":1}', b',"st":1,"new":2}'),
        (b',"st":1}', b',"st":1}}'),
        (b'["84541.00","0.003"]', b'["84541.00","0.003"],'),
    ],
)
def test_anything_else_is_left_to_the_declared_decoder(old: bytes, new: bytes) -> None:
    frame = frames_2026()["depth"]
    assert old in frame
    assert SCANNER.decode(frame.replace(old, new, 1)) is None


@pytest.mark.parametrize(
    "stream",
    [
        "btcusdt@depth5@100ms",
        "btcusdt@depth10",
        "ethusdt@depth@100ms",
        "btcusdt@bookTicker",
        "BTCUSDT@depth",
        "btcusdt@depth@ms",
        "btcusdt@depth@100msx",
        "btcusdt@depth@1\xff0ms",
        "x",
        "",
    ],
)
def test_a_delta_is_taken_from_its_own_stream_only(stream: str) -> None:
    frame = b'{"stream":"%s","data":%s}' % (stream.encode("latin-1"), frames_2026()["depth"])
    assert SCANNER.decode(frame) is None


@pytest.mark.parametrize("speed", [b"", b"@0ms", b"@100ms", b"@500ms"])
def test_every_speed_of_the_depth_stream_is_taken(speed: bytes) -> None:
    assert agree(b'{"stream":"btcusdt@depth%s","data":%s}' % (speed, frames_2026()["depth"]))


def test_trades_that_are_none_of_the_market_are_left_to_the_declared_decoder() -> None:
    assert SCANNER.decode(frames_2024()["trade"].replace(b"MARKET", b"INSURANCE_FUND")) is None


def test_a_frame_of_more_levels_than_there_is_room_for_is_left_to_the_declared_decoder() -> None:
    many = b",".join(b'["%d.00","1"]' % price for price in range(1, 8194))
    frame = frames_2024()["depth"].replace(b'["61800.30","2.5"]', many)
    assert SCANNER.decode(frame) is None
    event = CODEC.decode(frame)
    assert isinstance(event, BookDelta)
    assert len(event.asks) == 8193
    assert agree(frame.replace(b'["1.00","1"],', b""))


def test_mutated_frames_are_refused_or_understood_alike() -> None:
    """The short form of `make fuzz`."""
    assert FUZZ_TARGETS[0].run(30_000, 20240808) > 3_000  # digits changed to other digits: the comparison is not empty


def test_no_prefix_of_a_frame_is_read_behind_its_end() -> None:
    check_that_no_prefix_is_taken(SCANNER, FRAMES)


def test_no_cut_off_number_is_read_behind_its_end() -> None:
    with memory_that_ends() as put:
        for text in (b'{"e":"bookTicker","u":', b'{"stream":"', b'{"e":"bookTicker","u":1,"s":"BTCUSDT","b":"'):
            for digits in (b"", b"1", b"1.", b"1.1", b"11111111111111111111"):
                assert SCANNER.decode(put(text + digits)) is None


def test_a_symbol_is_added_once_and_long_ones_stay_with_the_declared_decoder() -> None:
    scanner = make_scanner()
    with pytest.raises(ValueError, match="BTCUSDT was added before"):
        scanner.add("BTCUSDT", 2, 3)
    scanner.add("X" * 40, 2, 3)
    assert scanner.decode(frames_2024()["trade"].replace(b"BTCUSDT", b"X" * 40)) is None


def test_a_thousand_symbols_are_told_apart() -> None:
    scanner = FrameScanner()
    for number in range(1000):
        scanner.add(f"S{number}USDT", number % 9, 0)
    for number in range(1000):
        frame = frames_2024()["trade"].replace(b"BTCUSDT", b"S%dUSDT" % number).replace(b"61800.30", b"7")
        event = scanner.decode(frame.replace(b"0.006", b"1"))
        assert event is not None
        assert (event.symbol, event.price) == (f"S{number}USDT", 7 * 10 ** (number % 9))  # type: ignore[union-attr]


# --- from frame to ring -----------------------------------------------------------------------------------------------
@pytest.fixture
def path(market: Any) -> ListenerPath:
    bids, asks = [(6180020, 2507)], [(6180030, 2500)]
    return ListenerPath(market, FrameScanner(), MarketListener, 1, "BTCUSDT", (2, 3), bids, asks)


def test_a_quote_goes_from_the_frame_to_the_ring(path: ListenerPath) -> None:
    path.listener.feed_frame(frames_2024()["bookTicker"], 777)
    quote = path.reader.poll()
    assert quote is not None
    assert (quote.kind, quote.instrument_id, quote.venue) == (RecordKind.QUOTE, 1 << 16 | 3, 1)
    assert (quote.bid_price, quote.bid_quantity, quote.ask_price, quote.ask_quantity) == (
        61800.2, 2.507, 61800.3, 2.51,
    )  # fmt: skip
    assert (quote.update_id, quote.exchange_time_ns, quote.receive_time_ns) == (5123107839020, 1723161256313000000, 777)
    assert quote.publish_time_ns > 777
    assert path.reader.poll() is None
    assert path.rare.calls == []


def test_trades_go_from_the_frame_to_the_ring(path: ListenerPath) -> None:
    path.listener.feed_frame(frames_2024()["trade"], 1)
    path.listener.feed_frame(frames_2026()["aggTrade"], 2)
    trade = path.reader.poll()
    assert trade is not None
    assert (trade.trade_id, trade.price, trade.quantity, trade.aggressor_side, trade.aggregated, trade.trade_count) == (
        5266583935, 61800.3, 0.006, Side.BUY, 0, 1,
    )  # fmt: skip
    merged = path.reader.poll()
    assert merged is not None
    assert (merged.trade_id, merged.aggregated, merged.trade_count) == (8123340001, 1, 3)
    assert merged.exchange_time_ns == 1790000000000_000_000


def test_a_delta_that_follows_goes_to_book_ring_and_table(path: ListenerPath) -> None:
    path.listener.feed_frame(frames_2024()["depth"], 5)
    top = path.reader.poll()
    assert top is not None
    assert (top.kind, top.update_id, top.epoch, top.bid_count, top.ask_count) == (RecordKind.BOOK_TOP, 57, 1, 2, 1)
    assert top.bid_prices[:2].tolist() == [61800.2, 58710.2]
    assert top.bid_quantities[:3].tolist() == [2.507, 0.014, 0.0]
    assert str(top.bid_prices[2]) == "nan"
    row = path.market.book(3)
    assert (row.valid, row.update_id, row.bid_count, row.receive_time_ns, row.status) == (
        1, 57, 2, 5, MarketStatusCode.LIVE,
    )  # fmt: skip
    assert path.rare.calls == []


def test_a_delta_that_does_not_follow_changes_nothing_and_is_handed_over(path: ListenerPath) -> None:
    frame = frames_2024()["depth"].replace(b'"pu":50', b'"pu":49')
    path.listener.feed_frame(frame, 5)
    assert path.rare.calls == [("delta", "BTCUSDT", CODEC.decode(frame), 5)]
    assert path.feed.update_id == 50
    assert path.feed.book.bids() == [(6180020, 2507)]
    assert path.reader.poll() is None


def test_a_book_that_crosses_is_withdrawn_and_told(path: ListenerPath) -> None:
    path.listener.feed_frame(frames_2024()["depth"].replace(b'"58710.20"', b'"61800.30"'), 5)
    assert path.rare.calls == [("crossed", "BTCUSDT")]
    status = path.reader.poll()
    assert status is not None
    assert (status.kind, status.code) == (RecordKind.MARKET_STATUS, MarketStatusCode.CROSSED)
    row = path.market.book(3)
    assert (row.valid, row.bid_count, row.ask_count) == (0, 0, 0)
    assert not path.feed.live


def test_surprises_are_handed_over_and_counted(path: ListenerPath) -> None:
    path.listener.feed_frame(b'{"result":null,"id":1}', 9)
    assert path.rare.calls == [("surprise", b'{"result":null,"id":1}', 9)]
    assert path.count("surprises") == 1
    assert path.count("frames") == 1
