"""What bench/_marked_venue.py says in each venue's words: marked quotes, logins, answers to an order, its fill.

What differs between venues is a `Shape`; a venue joins bench/tick_to_trade.py by an entry in SHAPES. Words are those
of the venue's documents (exchanges/<venue>/*messages.py names them), cut down to what anybody reads.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from order_path_binance import ed25519_pem

from exchanges.binance import fast_decode as binance_decode
from exchanges.binance.oms import BinanceOMS
from exchanges.deribit import fast_decode as deribit_decode
from exchanges.deribit.oms import DeribitOMS
from exchanges.grvt import fast_decode as grvt_decode
from exchanges.grvt.instruments import SigningTerms
from exchanges.grvt.nonces import NonceSource
from exchanges.grvt.oms import GrvtOMS
from exchanges.grvt.order_connection import NONCE_FILE
from strategy.testing import Listing

BASE_PRICE = 60_000.0
ACCOUNT = "2147050003876484"
Said = dict[str, Any]


def _in_already(oms: Any, folder: Any) -> None:
    """Its login is said on the order socket, or there is none."""


def _order_socket(oms: Any) -> list[Coroutine[Any, Any, None]]:
    return [oms._socket.run()]


@dataclass(frozen=True)
class Shape:
    """One venue's words. An order's answer is what the venue replies (`reply`), and what it says unasked after that
    (`tell`); the second argument of both: whether the order was filled. `enter`: what a login over HTTP would have
    brought, for this venue has sockets only; its second argument is the engine's state folder."""

    listing: Listing
    symbol: str
    secret: Callable[[], str]
    quote: Callable[[int, float], bytes]
    """Number of the mark and its price -> frame."""
    reply: Callable[[Said, bool], Said]
    tell: Callable[[Said, bool], Iterable[Said]]
    is_order: Callable[[bytes], bool]
    """Of a request."""
    decode: Any
    oms: Any
    enter: Callable[[Any, Any], None] = _in_already
    links: Callable[[Any], list[Coroutine[Any, Any, None]]] = _order_socket
    """What of the OMS is kept up all the time."""
    fill_links: Callable[[Any], list[Coroutine[Any, Any, None]]] | None = None
    """What beside, while orders are filled: a private stream that only fills need."""


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


# --- Binance ----------------------------------------------------------------------------------------------------------
def _binance_quote(mark: int, price: float) -> bytes:
    now = _now_ms()
    return (
        f'{{"e":"bookTicker","u":{mark},"s":"BTCUSDT","b":"{price:.2f}","B":"1.000","a":"{price + 0.1:.2f}",'
        f'"A":"1.000","T":{now},"E":{now}}}'
    ).encode()


def _binance_reply(asked: Said, filled: bool) -> Said:
    if asked["method"] != "order.place":
        return {"id": asked["id"], "status": 200, "result": {}}
    order = asked["params"]
    result = {
        "orderId": int(asked["id"]), "symbol": "BTCUSDT", "status": "FILLED" if filled else "EXPIRED",
        "clientOrderId": order["newClientOrderId"], "price": order["price"], "origQty": order["quantity"],
        "executedQty": order["quantity"] if filled else "0", "side": order["side"],
        "type": "LIMIT", "timeInForce": "IOC", "updateTime": _now_ms(),
    }  # fmt: skip
    return {"id": asked["id"], "status": 200, "result": result, "rateLimits": []}


def _binance_tell(asked: Said, filled: bool) -> Iterable[Said]:
    if not filled:
        return
    order, now = asked["params"], _now_ms()
    yield {
        "e": "ORDER_TRADE_UPDATE", "E": now, "T": now,
        "o": {
            "s": "BTCUSDT", "c": order["newClientOrderId"], "S": order["side"], "o": "LIMIT", "f": "IOC",
            "q": order["quantity"], "p": order["price"], "ap": order["price"], "sp": "0", "x": "TRADE", "X": "FILLED",
            "i": int(asked["id"]), "l": order["quantity"], "z": order["quantity"], "L": order["price"], "N": "USDT",
            "n": "0.24", "T": now, "t": int(asked["id"]), "b": "0", "a": "0", "m": False, "R": False, "ps": "BOTH",
        },
    }  # fmt: skip


def _binance_stream(oms: Any) -> list[Coroutine[Any, Any, None]]:
    async def key() -> str:
        return "bench"

    oms._stream._fetcher.listen_key = key
    return [oms._stream.run()]


# --- Deribit ----------------------------------------------------------------------------------------------------------
def _deribit_quote(mark: int, price: float) -> bytes:
    return (
        '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"quote.BTC-PERPETUAL","data":'
        f'{{"timestamp":{_now_ms()},"instrument_name":"BTC-PERPETUAL","best_bid_price":{price:.1f},'
        f'"best_bid_amount":1000.0,"best_ask_price":{price + 0.5:.1f},"best_ask_amount":1000.0}}}}}}'
    ).encode()


def _deribit_reply(asked: Said, filled: bool) -> Said:
    method, order = asked["method"], asked.get("params", {})
    answers = {
        "public/auth": {"access_token": "a", "refresh_token": "r", "expires_in": 900, "token_type": "bearer",
                        "scope": "account:read_write block_trade:read_write trade:read_write wallet:read_write"},
        "private/get_cancel_on_disconnect": {"enabled": True, "scope": "connection"},
        "private/subscribe": order.get("channels"),
    }  # fmt: skip
    if method not in ("private/buy", "private/sell"):
        return {"jsonrpc": "2.0", "id": asked["id"], "result": answers.get(method, "ok")}
    now, side = _now_ms(), method.removeprefix("private/")
    told = {
        "order_id": f"BTC-{asked['id']}", "order_state": "filled" if filled else "cancelled",
        "instrument_name": order["instrument_name"], "direction": side, "price": order["price"],
        "amount": order["amount"], "filled_amount": order["amount"] if filled else 0.0, "order_type": "limit",
        "time_in_force": "immediate_or_cancel", "label": order["label"],
        "creation_timestamp": now, "last_update_timestamp": now,
    }  # fmt: skip
    trade = {
        "trade_seq": asked["id"], "trade_id": str(asked["id"]), "order_id": told["order_id"], "timestamp": now,
        "instrument_name": order["instrument_name"], "direction": side, "price": order["price"],
        "amount": order["amount"], "fee": 0.00000083, "fee_currency": "BTC", "liquidity": "T", "label": order["label"],
    }  # fmt: skip
    return {"jsonrpc": "2.0", "id": asked["id"], "result": {"order": told, "trades": [trade] if filled else []}}


# --- GRVT -------------------------------------------------------------------------------------------------------------
_GRVT = "BTC_USDT_Perp"
_ORDER_NUMBERS, _FILL_NUMBERS = itertools.count(1), itertools.count(1)
"""Of the frames of each private stream: they follow each other without a gap."""


def _grvt_quote(mark: int, price: float) -> bytes:
    """The first one is whole, the others are changes that follow it."""
    sequence, previous = (mark, mark - 1) if mark > 1 else (0, 0)
    return (
        f'{{"stream":"v1.mini.d","selector":"{_GRVT}@0","sequence_number":"{sequence}","feed":'
        f'{{"event_time":"{time.time_ns()}","instrument":"{_GRVT}","best_bid_price":"{price:.1f}",'
        f'"best_bid_size":"1.0","best_ask_price":"{price + 0.1:.1f}","best_ask_size":"1.0"}},'
        f'"prev_sequence_number":"{previous}"}}'
    ).encode()


def _grvt_order(asked: Said, order_id: str, status: str, reason: str, traded: str) -> Said:
    """An order as v1.order and the reply to create_order have it."""
    order = asked["params"]["order"]
    now = str(time.time_ns())
    return order | {
        "order_id": order_id,
        "metadata": order["metadata"] | {"create_time": now},
        "state": {
            "status": status, "reject_reason": reason, "book_size": ["0.0"], "traded_size": [traded],
            "update_time": now, "avg_fill_price": ["0.0"],
        },
    }  # fmt: skip


def _grvt_reply(asked: Said, filled: bool) -> Said:
    head = {"jsonrpc": "2.0", "id": asked["id"], "method": asked["method"]}
    if asked["method"] == "v1/create_order":
        return head | {"result": {"result": _grvt_order(asked, "0x00", "PENDING", "UNSPECIFIED", "0.0")}}
    if asked["method"] == "subscribe":
        return head | {"result": {"stream": asked["params"]["stream"], "subs": asked["params"]["selectors"]}}
    return head | {"result": {"result": []}}  # open_orders, which a fresh line is tried with


def _grvt_tell(asked: Said, filled: bool) -> Iterable[Said]:
    """v1.order, then v1.fill: a create is answered by no more than PENDING."""
    order, number = asked["params"]["order"], int(asked["id"])
    leg, order_id = order["legs"][0], f"0x0101{number:032x}"
    status, reason = ("FILLED", "UNSPECIFIED") if filled else ("CANCELLED", "IOC_CANCEL")
    feed = _grvt_order(asked, order_id, status, reason, leg["size"] if filled else "0.0")
    yield _grvt_frame("v1.order", next(_ORDER_NUMBERS), feed)
    if filled:
        fill = {
            "event_time": str(time.time_ns()), "sub_account_id": ACCOUNT, "instrument": _GRVT, "is_buyer": True,
            "is_taker": True, "size": leg["size"], "price": leg["limit_price"], "fee": "0.24",
            "trade_id": f"{number}-1", "order_id": order_id,
            "client_order_id": order["metadata"]["client_order_id"], "fee_currency": "USDT",
        }  # fmt: skip
        yield _grvt_frame("v1.fill", next(_FILL_NUMBERS), fill)


def _grvt_frame(stream: str, number: int, feed: Said) -> Said:
    return {
        "stream": stream, "selector": ACCOUNT, "sequence_number": str(number), "feed": feed,
        "prev_sequence_number": str(number - 1),
    }  # fmt: skip


def _grvt_enter(oms: Any, folder: Any) -> None:
    session = oms._session
    session.account, session._headers = ACCOUNT, {"Cookie": "gravity=bench"}
    session._expires_s = float("inf")
    terms = {_GRVT: SigningTerms("0x030501", 9)}
    oms._codec.trade_as(oms._connection.signer(), ACCOUNT, terms, NonceSource(folder / NONCE_FILE).take)


SHAPES = {
    "binance": Shape(
        Listing("binance:BTCUSDT"), "BTCUSDT", ed25519_pem, _binance_quote, _binance_reply, _binance_tell,
        lambda raw: b'"order.place"' in raw, binance_decode, BinanceOMS, fill_links=_binance_stream,
    ),
    "deribit": Shape(
        Listing("deribit:BTC-PERPETUAL", "0.5", "10", inverse=True), "BTC-PERPETUAL", lambda: "s" * 64,
        _deribit_quote, _deribit_reply, lambda asked, filled: (), lambda raw: b'"private/buy"' in raw, deribit_decode,
        DeribitOMS,
    ),
    "grvt": Shape(
        Listing(f"grvt:{_GRVT}"), _GRVT, lambda: "0x" + "11" * 32, _grvt_quote, _grvt_reply, _grvt_tell,
        lambda raw: b'"v1/create_order"' in raw, grvt_decode, GrvtOMS, _grvt_enter,
        lambda oms: [oms._socket.run(), oms._stream.run()],
    ),
}  # fmt: skip
