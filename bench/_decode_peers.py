"""The other ways from a frame to a book or quote, each by its own package; run by bench/_decode_beside.py.

They need packages that must not stand beside ours, so this file runs under the Python of an environment of their own
and needs nothing else: it reads one JSON line per block and answers with one. A peer gets the bytes of a frame, begins
with the venue's whole book, keeps its own book by its own rule, and after each update its best bid and ask are read,
the least that a user does (cryptofeed's book is not even in order before somebody looks). None of them writes anything
that another process could read.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from time import perf_counter_ns
from types import SimpleNamespace
from typing import Any

Feed = Callable[[bytes], Any]
Best = Callable[[], tuple[float, float]]
"""Best bid and ask of the book as it stands."""


def ccxt_binance(symbol: str, snapshot: bytes) -> tuple[Feed, Best]:
    """binanceusdm of ccxt.pro: what its client does with a text message, and its order book of 1000 levels a side."""
    import ccxt.pro as library
    from ccxt.async_support.base.ws.client import json_parser

    venue = library.binanceusdm()
    unified = f"{symbol[:-4]}/USDT:USDT"
    market = {
        "id": symbol, "symbol": unified, "base": symbol[:-4], "quote": "USDT", "settle": "USDT", "type": "swap",
        "spot": False, "swap": True, "contract": True, "linear": True, "precision": {"price": 0.1, "amount": 0.001},
    }  # fmt: skip
    venue.set_markets([venue.safe_market_structure(market)])
    client = SimpleNamespace(url="wss://fstream.binance.com/ws", subscriptions={}, resolve=_nothing, reject=_fail)
    whole = json_parser.loads(snapshot)
    book = venue.order_book({}, 1000)
    book.reset(venue.parse_order_book(whole, unified) | {"nonce": whole["lastUpdateId"]})
    venue.orderbooks[unified] = book

    def feed(frame: bytes) -> None:
        venue.handle_message(client, json_parser.loads(frame))

    return feed, lambda: (float(book["bids"][0][0]), float(book["asks"][0][0]))


def cryptofeed_binance(symbol: str, snapshot: bytes) -> tuple[Feed, Best]:
    """BinanceFutures: its message handler, its order book package, with a callback that does nothing."""
    from cryptofeed.defines import L2_BOOK, TICKER
    from cryptofeed.exchanges import BinanceFutures
    from cryptofeed.symbols import Symbols
    from cryptofeed.types import OrderBook

    pair = f"{symbol[:-4]}-USDT-PERP"
    Symbols.set("BINANCE_FUTURES", {pair: symbol}, {"instrument_type": {pair: "perpetual"}, "tick_size": {pair: "0.1"}})

    async def callback(*_: Any) -> None:
        return None

    venue = BinanceFutures(symbols=[pair], channels=[L2_BOOK, TICKER], callbacks={L2_BOOK: callback, TICKER: callback})
    whole = json.loads(snapshot)
    sides = [{Decimal(price): Decimal(size) for price, size in whole[side]} for side in ("bids", "asks")]
    book = OrderBook(venue.id, pair, max_depth=0, bids=sides[0], asks=sides[1])
    venue._l2_book[pair], venue.last_update_id[pair] = book, whole["lastUpdateId"]

    return _fed(venue), lambda: (float(book.book.bids.index(0)[0]), float(book.book.asks.index(0)[0]))


def _fed(venue: Any) -> Feed:
    """Of cryptofeed: nothing in its handler waits, so one step of the coroutine is all of it: an event loop would only
    add to its time."""

    def feed(frame: bytes) -> None:
        coroutine = venue.message_handler(frame.decode(), None, 0.0)
        try:
            coroutine.send(None)
        except StopIteration:
            return
        raise AssertionError("cryptofeed waits for something")

    return feed


def nautilus_binance(symbol: str, snapshot: bytes) -> tuple[Feed, Best]:
    """Its msgspec decoders of Binance futures, its delta and quote objects, its order book."""
    import msgspec
    from nautilus_trader.adapters.binance.common.schemas.market import (
        BinanceDataMsgWrapper,
        BinanceOrderBookMsg,
        BinanceQuoteMsg,
    )  # fmt: skip
    from nautilus_trader.model.book import OrderBook
    from nautilus_trader.model.data import BookOrder
    from nautilus_trader.model.enums import BookType, OrderSide
    from nautilus_trader.model.identifiers import InstrumentId
    from nautilus_trader.model.objects import Price, Quantity

    instrument = InstrumentId.from_str(f"{symbol}-PERP.BINANCE")
    book = OrderBook(instrument, BookType.L2_MBP)
    whole = json.loads(snapshot)
    for side, levels in ((OrderSide.BUY, whole["bids"]), (OrderSide.SELL, whole["asks"])):
        for price, size in levels:
            book.add(BookOrder(side, Price.from_str(price), Quantity.from_str(size), 0), 0)
    wrapper = msgspec.json.Decoder(BinanceDataMsgWrapper)
    deltas, quotes = msgspec.json.Decoder(BinanceOrderBookMsg), msgspec.json.Decoder(BinanceQuoteMsg)

    def feed(frame: bytes) -> None:
        stream = wrapper.decode(frame).stream  # its client looks at the name before it knows what to decode
        if "@depth" in stream:
            book.apply_deltas(deltas.decode(frame).data.parse_to_order_book_deltas(instrument, 0))
        else:
            quotes.decode(frame).data.parse_to_quote_tick(instrument, 0)

    return feed, lambda: (float(book.best_bid_price()), float(book.best_ask_price()))


def ccxt_deribit(symbol: str, snapshot: bytes) -> tuple[Feed, Best]:
    """deribit of ccxt.pro: what its client does with a text message, snapshots too."""
    base = symbol.partition("-")[0]
    return _ccxt_of_messages("deribit", symbol, f"{base}/USD:{base}", base, "USD", base, snapshot)


def ccxt_grvt(symbol: str, snapshot: bytes) -> tuple[Feed, Best]:
    """grvt of ccxt.pro, which knows the full names only."""
    base, quote, _ = symbol.split("_")
    return _ccxt_of_messages("grvt", symbol, f"{base}/{quote}:{quote}", base, quote, quote, snapshot)


def _ccxt_of_messages(
    name: str, symbol: str, unified: str, base: str, quote: str, settle: str, snapshot: bytes
) -> tuple[Feed, Best]:
    import ccxt.pro as library
    from ccxt.async_support.base.ws.client import json_parser

    venue = getattr(library, name)()
    market = {
        "id": symbol, "symbol": unified, "base": base, "quote": quote, "settle": settle, "type": "swap",
        "spot": False, "swap": True, "contract": True, "linear": quote == settle, "inverse": base == settle,
        "precision": {"price": 0.1, "amount": 0.001},
    }  # fmt: skip
    venue.set_markets([venue.safe_market_structure(market)])
    client = SimpleNamespace(url="wss://localhost", subscriptions={}, resolve=_nothing, reject=_fail)

    def feed(frame: bytes) -> None:
        venue.handle_message(client, json_parser.loads(frame))

    feed(snapshot)
    book = venue.orderbooks[unified]
    return feed, lambda: (float(book["bids"][0][0]), float(book["asks"][0][0]))


def cryptofeed_deribit(symbol: str, snapshot: bytes) -> tuple[Feed, Best]:
    """Deribit: its message handler, its order book package, with a callback that does nothing."""
    from cryptofeed.defines import L1_BOOK, L2_BOOK
    from cryptofeed.exchanges import Deribit
    from cryptofeed.symbols import Symbols

    pair = f"{symbol.partition('-')[0]}-USD-PERP"
    Symbols.set("DERIBIT", {pair: symbol}, {"instrument_type": {pair: "perpetual"}, "tick_size": {pair: "0.5"}})

    async def callback(*_: Any) -> None:
        return None

    names = {"key_id": "none", "key_secret": "none"}  # it asks for some before it takes the channel of books
    venue = Deribit(
        symbols=[pair], channels=[L2_BOOK, L1_BOOK], callbacks={L2_BOOK: callback, L1_BOOK: callback},
        config={"deribit": names},
    )  # fmt: skip
    venue._Deribit__reset()  # as its subscribe does
    feed = _fed(venue)
    feed(snapshot)
    book = venue._l2_book[pair]
    return feed, lambda: (float(book.book.bids.index(0)[0]), float(book.book.asks.index(0)[0]))


def nautilus_deribit(symbol: str, snapshot: bytes) -> tuple[Feed, Best]:
    """Its Python package has none up to 1.221; the import says so."""
    import nautilus_trader.adapters.deribit  # noqa: F401

    raise NotImplementedError("this version has an adapter of Deribit that this bench does not know")


def _nothing(*_: Any) -> None:
    """Where ccxt would wake whoever waits for a book."""


def _fail(failure: Exception, *_: Any) -> None:
    raise failure


PEERS = {
    "binance": {"ccxt": ccxt_binance, "cryptofeed": cryptofeed_binance, "nautilus_trader": nautilus_binance},
    "deribit": {"ccxt": ccxt_deribit, "cryptofeed": cryptofeed_deribit, "nautilus_trader": nautilus_deribit},
    "grvt": {"ccxt": ccxt_grvt},
}
BOOKS = ("depth", "book")
"""Kinds after which somebody looks at the book."""


def main() -> None:
    venue, core, frames_file = sys.argv[1:]
    peers = PEERS[venue]
    os.sched_setaffinity(0, {int(core)})
    asyncio.set_event_loop(asyncio.new_event_loop())  # two of them look for one when they are made
    market = {}
    for symbol, one in json.loads(Path(frames_file).read_text()).items():
        frames = [(kind, frame.encode()) for kind, frame in one["frames"]]
        market[symbol] = {"snapshot": one["snapshot"].encode(), "frames": frames}
    missing = {}
    for name, make in peers.items():
        try:
            symbol, one = next(iter(market.items()))
            feed, _ = make(symbol, one["snapshot"])
            for _, frame in one["frames"]:
                feed(frame)
        except ImportError as failure:
            missing[name] = f"not installed: {failure}"
        except Exception as failure:  # another version of it: said, not hidden
            missing[name] = f"{type(failure).__name__}: {failure}"
    answer({"ready": [name for name in peers if name not in missing], "missing": missing})
    for line in sys.stdin:
        make = peers[json.loads(line)["peer"]]
        took: dict[str, list[int]] = {}
        best = {}
        for symbol, one in market.items():
            feed, touch = make(symbol, one["snapshot"])
            for kind, frame in one["frames"]:
                began = perf_counter_ns()
                feed(frame)
                if kind in BOOKS:
                    touch()
                took.setdefault(kind, []).append(perf_counter_ns() - began)
            best[symbol] = touch()
        answer({"ns": took, "best": best})


def answer(value: Any) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    main()
