"""The compiled scanner against the declared decoder: what it takes, both understand alike; it never looks too far."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.deribit.codec import MarketCodec
from exchanges.deribit.fast_decode import FrameScanner, MarketListener
from exchanges.instrument_rows import Scales
from exchanges.market_events import BookDelta, MalformedFrame, PublicTrades
from shm.layout import MarketStatusCode, RecordKind, Side
from tests.exchanges.frame_fuzz import Target, memory_that_ends
from tests.exchanges.live_listener import ListenerPath, check_that_no_prefix_is_taken

OPTION = "BTC-25DEC26-90000-C"
SCALES = {"BTC-PERPETUAL": Scales(2, 0), OPTION: Scales(4, 1), "XRP_USDC-30JUN26-0d625-C": Scales(5, 0)}
CODEC = MarketCodec(SCALES)


def make_scanner() -> FrameScanner:
    scanner = FrameScanner()
    for symbol, scales in SCALES.items():
        scanner.add(symbol, *scales)
    return scanner


SCANNER = make_scanner()


def notification(channel: str, data: str) -> bytes:
    return (
        f'{{"jsonrpc":"2.0","method":"subscription","params":{{"channel":"{channel}","data":{data}}}}}'
    ).encode()  # fmt: skip


def members(values: dict[str, str]) -> str:
    return "{" + ",".join(f'"{key}":{value}' for key, value in values.items()) + "}"


BOOK = {
    "type": '"change"',
    "timestamp": "1767000000012",
    "prev_change_id": "50",
    "instrument_name": '"BTC-PERPETUAL"',
    "change_id": "136700000131",
    "bids": '[["change",61000.0,4800.0],["delete",60999.5,0.0]]',
    "asks": '[["change",6.10005e4,950],["new",61001.5,4e1]]',
}
OLD_BOOK = {key: value for key, value in BOOK.items() if key != "type"}
QUOTE = {
    "timestamp": "1767000000174",
    "instrument_name": '"BTC-PERPETUAL"',
    "best_ask_price": "61000.5",
    "best_bid_price": "61000.0",
    "best_ask_amount": "950.0",
    "best_bid_amount": "4800.0",
}
EMPTY_QUOTE = QUOTE | {
    "best_bid_price": "null",
    "best_bid_amount": "0.0",
    "best_ask_price": "0",
    "best_ask_amount": "0",
}
TRADE = {
    "timestamp": "1767000000452",
    "price": "61000.5",
    "amount": "750.0",
    "direction": '"buy"',
    "index_price": "60998.75",
    "instrument_name": '"BTC-PERPETUAL"',
    "trade_seq": "271252855",
    "mark_price": "60999.11",
    "tick_direction": "2",
    "contracts": "75.0",
    "trade_id": '"403691825"',
}
RARE_TRADE = TRADE | {
    "trade_seq": "271252856", "direction": '"sell"', "liquidation": '"MT"', "iv": "-5.0e-1", "combo_trade_id": '"43"',
    "block_trade_id": "null", "mobile": "false",
}  # fmt: skip
OPTION_QUOTE = QUOTE | {
    "instrument_name": f'"{OPTION}"', "best_bid_price": "5e-4", "best_bid_amount": "12.5", "best_ask_price": "0.0795",
    "best_ask_amount": "1.0e2",
}  # fmt: skip
FRAMES = [
    notification("book.BTC-PERPETUAL.100ms", members(BOOK)),
    notification("book.BTC-PERPETUAL.raw", members(OLD_BOOK)),
    notification("book.BTC-PERPETUAL.agg2", members(BOOK | {"bids": "[]", "asks": "[]"})),
    notification("quote.BTC-PERPETUAL", members(QUOTE)),
    notification("quote.BTC-PERPETUAL", members(EMPTY_QUOTE)),
    notification(f"quote.{OPTION}", members(OPTION_QUOTE)),
    notification("trades.BTC-PERPETUAL.100ms", f"[{members(TRADE)}]"),
    notification("trades.BTC-PERPETUAL.raw", f"[{members(TRADE)},{members(RARE_TRADE)}]"),
]


FUZZ_TARGETS = [Target("deribit", FRAMES, SCANNER.decode, CODEC.decode)]


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


@pytest.mark.parametrize(
    ("channel", "shape", "form"),
    [
        ("book.BTC-PERPETUAL.raw", BOOK, "{}"),
        ("quote.BTC-PERPETUAL", QUOTE, "{}"),
        ("trades.BTC-PERPETUAL.raw", TRADE, "[{}]"),
    ],
)
def test_keys_are_taken_in_any_order(channel: str, shape: dict[str, str], form: str) -> None:
    for order in itertools.islice(itertools.permutations(shape), 0, 5040, 7):
        assert agree(notification(channel, form.format(members({key: shape[key] for key in order}))))


numbers = st.tuples(
    st.integers(0, 10**12), st.sampled_from(["{}", "{}.0", "{}.5", "{}e1", "{}.25E+1", "{}00.0e-2", "{}e-3"])
)
texts = numbers.map(lambda pair: pair[1].format(pair[0]))
sides = st.lists(st.tuples(st.sampled_from(["new", "change", "delete"]), texts, texts), max_size=30)
ids = st.integers(0, 10**18 - 1)


def side_text(levels: list[tuple[str, str, str]]) -> str:
    return "[" + ",".join(f'["{action}",{price},{amount}]' for action, price, amount in levels) + "]"


@given(bids=sides, asks=sides, event=st.integers(0, 9 * 10**12), change=ids, previous=ids)
def test_generated_changes_are_understood_alike_or_left_to_the_declared_decoder(
    bids: list[tuple[str, str, str]], asks: list[tuple[str, str, str]], event: int, change: int, previous: int
) -> None:
    shape = BOOK | {
        "timestamp": str(event), "change_id": str(change), "prev_change_id": str(previous), "bids": side_text(bids),
        "asks": side_text(asks),
    }  # fmt: skip
    frame = notification("book.BTC-PERPETUAL.raw", members(shape))
    if not agree(frame):  # a number that the scales cannot hold: then nobody can
        with pytest.raises(MalformedFrame):
            CODEC.decode(frame)


@given(prices=st.lists(st.sampled_from(["null", "0", "0.0", "1.5", "6.1e4", "61000"]), min_size=4, max_size=4))
def test_generated_quotes_are_taken_and_understood_alike(prices: list[str]) -> None:
    keys = ("best_bid_price", "best_bid_amount", "best_ask_price", "best_ask_amount")
    shape = QUOTE | dict(zip(keys, prices, strict=True))
    if "1.5" in (prices[1], prices[3]):
        return  # no quantity of this instrument
    assert agree(notification("quote.BTC-PERPETUAL", members(shape)))


# --- what it must not take --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"type":"change"', b'"type":"snapshot"'),
        (b'"type":"change"', b'"type":"change","type":"change"'),
        (b'"type":"change"', b'"type":"change","new":1'),
        (b'"timestamp":1767000000012,', b""),
        (b'"prev_change_id":50,', b""),
        (b'"prev_change_id":50', b'"prev_change_id":null'),
        (b'"prev_change_id":50', b'"prev_change_id":050'),
        (b'"prev_change_id":50', b'"prev_change_id":50.0'),
        (b'"prev_change_id":50', b'"prev_change_id":-1'),
        (b'"prev_change_id":50', b'"prev_change_id":5' + b"0" * 20),
        (b'"timestamp":1767000000012', b'"timestamp":99999999999999'),
        (b'"instrument_name":"BTC-PERPETUAL"', b'"instrument_name":"ETH-PERPETUAL"'),
        (b'"instrument_name":"BTC-PERPETUAL"', b'"instrument_name":"BTC-PERPETUA"'),
        (b"book.BTC-PERPETUAL.100ms", b"book.ETH-PERPETUAL.100ms"),
        (b"book.BTC-PERPETUAL.100ms", b"book.BTC-PERPETUAL.none.10.100ms"),
        (b"book.BTC-PERPETUAL.100ms", b"book.BTC-PERPETUAL"),
        (b"book.BTC-PERPETUAL.100ms", b"book." + b"X" * 500 + b".100ms"),
        (b'["change",61000.0', b'["move",61000.0'),
        (b"61000.0,4800.0", b"61000.001,4800.0"),
        (b"61000.0,4800.0", b"61000.0,4800.5"),
        (b"61000.0,4800.0", b"-61000.0,4800.0"),
        (b"61000.0,4800.0", b"0.0,4800.0"),
        (b"61000.0,4800.0", b"061000.0,4800.0"),
        (b"61000.0,4800.0", b"61000.,4800.0"),
        (b"61000.0,4800.0", b"61000e,4800.0"),
        (b"61000.0,4800.0", b'"61000.0",4800.0'),
        (b"61000.0,4800.0", b"61000.0, 4800.0"),
        (b"61000.0,4800.0", b"61000.0,4800.0,1"),
        (b"}}}", b"}}} "),
        (b"}}}", b"}}"),
        (b'{"jsonrpc"', b' {"jsonrpc"'),
    ],
)
def test_anything_else_is_left_to_the_declared_decoder(old: bytes, new: bytes) -> None:
    assert old in FRAMES[0]
    assert SCANNER.decode(FRAMES[0].replace(old, new, 1)) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"direction":"buy"', b'"direction":"up"'),
        (b'"trade_id":"403691825"', b'"trade_id":403691825'),
        (b',"trade_id":"403691825"', b""),
        (b'"tick_direction":2', b'"legs":[]'),
        (b'"tick_direction":2', b'"tick_direction":02'),
        (b'"tick_direction":2', b'"tick_direction":2.'),
        (b'"tick_direction":2', b'"tick_direction":2e'),
        (b'"tick_direction":2', b'"tick_direction":nul'),
        (b'"tick_direction":2', b'"tick_direction":"\\u0041"'),
        (b'"tick_direction":2', b'"tick_direction":"\xff"'),
        (b'"tick_\xc3":2', b'"tick_\xff":2'),
        (b"[{", b"[[{"),
        (b"[{", b"{"),
    ],
)
def test_trades_of_another_shape_are_left_to_the_declared_decoder(old: bytes, new: bytes) -> None:
    frame = FRAMES[6].replace(b"tick_direction", b"tick_\xc3") if b"\xc3" in old else FRAMES[6]
    assert old in frame
    assert SCANNER.decode(frame.replace(old, new, 1)) is None


def test_no_trades_are_left_to_the_declared_decoder() -> None:
    frame = notification("trades.BTC-PERPETUAL.raw", "[]")
    assert SCANNER.decode(frame) is None
    assert CODEC.decode(frame) == PublicTrades(())


@pytest.mark.parametrize(("count", "taken"), [(512, True), (513, False)])
def test_trades_beyond_the_room_are_left_to_the_declared_decoder(count: int, taken: bool) -> None:
    frame = notification("trades.BTC-PERPETUAL.raw", f"[{','.join([members(TRADE)] * count)}]")
    assert agree(frame) is taken


@pytest.mark.parametrize(("count", "taken"), [(8192, True), (8193, False)])
def test_levels_beyond_the_room_are_left_to_the_declared_decoder(count: int, taken: bool) -> None:
    many = "[" + ",".join(f'["new",{price},1]' for price in range(1, count + 1)) + "]"
    frame = notification("book.BTC-PERPETUAL.raw", members(BOOK | {"asks": many}))
    assert agree(frame) is taken
    event = CODEC.decode(frame)
    assert isinstance(event, BookDelta)
    assert len(event.asks) == count


def test_mutated_frames_are_refused_or_understood_alike() -> None:
    assert FUZZ_TARGETS[0].run(20_000, 20251212) > 500  # digits changed to other digits: the comparison is not empty


def test_no_prefix_of_a_frame_is_read_behind_its_end() -> None:
    check_that_no_prefix_is_taken(SCANNER, FRAMES)


def test_no_cut_off_number_is_read_behind_its_end() -> None:
    with memory_that_ends() as put:
        for key in (b'"best_bid_price":', b'"timestamp":', b'"prev_change_id":'):
            frame = next(frame for frame in FRAMES if key in frame)
            head = frame[: frame.index(key) + len(key)]
            for digits in (b"", b"1", b"1.", b"1.1", b"1e", b"1.5e-", b"1e1", b"11111111111111111111", b"0", b"00"):
                assert SCANNER.decode(put(head + digits)) is None


# --- from frame to ring -----------------------------------------------------------------------------------------------
@pytest.fixture
def path(market: Any) -> ListenerPath:
    bids, asks = [(6100000, 5000), (6099950, 120)], [(6100050, 900)]
    return ListenerPath(market, FrameScanner(), MarketListener, 2, "BTC-PERPETUAL", (2, 0), bids, asks)


def test_a_quote_goes_from_the_frame_to_the_ring(path: ListenerPath) -> None:
    path.listener.feed_frame(FRAMES[3], 777)
    quote = path.reader.poll()
    assert quote is not None
    assert (quote.kind, quote.instrument_id, quote.venue) == (RecordKind.QUOTE, 2 << 16 | 3, 2)
    assert (quote.bid_price, quote.bid_quantity, quote.ask_price, quote.ask_quantity) == (
        61000.0,
        4800.0,
        61000.5,
        950.0,
    )
    assert (quote.update_id, quote.exchange_time_ns, quote.receive_time_ns) == (0, 1767000000174000000, 777)
    assert path.rare.calls == []


def test_quotes_without_ids_are_put_in_order_by_their_time(path: ListenerPath) -> None:
    for milliseconds in (174, 174, 173, 175):
        path.listener.feed_frame(FRAMES[3].replace(b"000174", b"000%d" % milliseconds), 1)
    times = []
    while (quote := path.reader.poll()) is not None:
        times.append(quote.exchange_time_ns // 1_000_000 % 1000)
    assert times == [174, 174, 175]
    assert path.count("late_quotes") == 1
    path.feed.reconnected(2)
    path.listener.feed_frame(FRAMES[3], 1)
    assert path.reader.poll() is not None  # another connection may begin anew


def test_the_trades_of_a_message_go_to_the_ring_once(path: ListenerPath) -> None:
    path.listener.feed_frame(FRAMES[7], 1)
    path.listener.feed_frame(FRAMES[7], 2)
    first, second = path.reader.poll().copy(), path.reader.poll()
    assert (first.trade_id, first.price, first.quantity, first.aggressor_side) == (271252855, 61000.5, 750.0, Side.BUY)
    assert second is not None
    assert (second.trade_id, second.aggressor_side, second.trade_count) == (271252856, Side.SELL, 1)
    assert path.reader.poll() is None
    assert path.count("repeated_trades") == 2


def test_a_change_that_follows_goes_to_book_ring_and_table(path: ListenerPath) -> None:
    path.listener.feed_frame(FRAMES[0], 5)
    top = path.reader.poll()
    assert top is not None
    assert (top.kind, top.update_id, top.bid_count, top.ask_count) == (RecordKind.BOOK_TOP, 136700000131, 1, 2)
    assert (top.bid_prices[0], top.bid_quantities[0]) == (61000.0, 4800.0)
    row = path.market.book(3)
    assert (row.valid, row.update_id, row.receive_time_ns, row.status) == (
        1, 136700000131, 5, MarketStatusCode.LIVE,
    )  # fmt: skip
    assert path.rare.calls == []
    assert path.count("book_checks") == 0  # quotes here say nothing about an update id


def test_a_change_that_does_not_follow_changes_nothing_and_is_handed_over(path: ListenerPath) -> None:
    frame = FRAMES[0].replace(b'"prev_change_id":50', b'"prev_change_id":49')
    path.listener.feed_frame(frame, 5)
    assert path.rare.calls == [("delta", "BTC-PERPETUAL", CODEC.decode(frame), 5)]
    assert path.feed.update_id == 50
    assert path.reader.poll() is None


def test_a_book_that_crosses_is_withdrawn_and_told(path: ListenerPath) -> None:
    path.listener.feed_frame(FRAMES[0].replace(b'"change",61000.0', b'"new",61000.5'), 5)
    assert path.rare.calls == [("crossed", "BTC-PERPETUAL")]
    assert path.market.book(3).valid == 0
    assert not path.feed.live


def test_surprises_are_handed_over_and_counted(path: ListenerPath) -> None:
    frame = json.dumps({"jsonrpc": "2.0", "id": 1, "result": "ok"}).encode()
    path.listener.feed_frame(frame, 9)
    assert path.rare.calls == [("surprise", frame, 9)]
    assert path.count("surprises") == 1
