"""What the order codecs of the venues share: client order ids as text, answers to requests, money, and the two kinds of
wrong.

The rule: an order whose id text is not a number with this instance's bits is not ours. It gets a synthetic id (top bit
clear) made from the venue's own id, and only ever travels as STATUS.

Who calls it: order_codec.py of every venue.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from exchanges.decimal_text import DecimalTextError, rounded_mantissa
from shm.layout import CLIENT_ORDER_ID_TOP, MONEY_SCALE, ExecFlag, TimeInForce, instance_of
from shm.records import OrderEvent, OrderRequest

_T = TypeVar("_T")
_AT_ONCE: Final = frozenset({TimeInForce.NONE, TimeInForce.GTC, TimeInForce.IOC})
"""What says nothing against a market order: GTC is what a request says that was given none."""


class MalformedMessage(ValueError):
    """The venue sent what the documentation does not know; `str()` says what, in one sentence."""


class UnsupportedRequest(ValueError):
    """The request asks for what this venue cannot do; `str()` says what."""


def check_market_terms(request: OrderRequest) -> None:
    """For a venue whose market orders take no time in force: what finds no counterpart at once is over. Raises
    UnsupportedRequest for post-only, and for "all or nothing" and "until", which would be lost on the way."""
    if request.exec_flags & ExecFlag.POST_ONLY:
        raise UnsupportedRequest("new order: a MARKET order cannot be post-only")
    if request.time_in_force not in _AT_ONCE:
        raise UnsupportedRequest(f"new order: a MARKET order takes no time in force {request.time_in_force} here")


def own_order_id(text: str, instance: int) -> int:
    """Our uint64 where the text is one that this instance made, else 0."""
    if not (19 <= len(text) <= 20 and text.isascii() and text.isdecimal()):
        return 0
    value = int(text)
    return value if value < 1 << 64 and instance_of(value) == instance else 0


def synthetic_order_id(instrument_id: int, exchange_order_id: int) -> int:
    """A stand-in for an order that is not ours: never has the top bit, so it cannot be taken for one of our own."""
    return ((instrument_id & 0x7FFF) << 48 ^ exchange_order_id) & (CLIENT_ORDER_ID_TOP - 1) or 1


def answer(fact: OrderEvent, request: OrderRequest) -> None:
    """Make `fact` the answer to `request`."""
    fact.request_type = request.request_type
    fact.request_sequence = request.sequence
    fact.request_id = request.request_id
    fact.epoch = request.epoch


def money(text: str | bytes) -> int:
    """An amount of money in MONEY_SCALE, rounded half-even: a fill must not be lost over the ninth decimal. Raises
    MalformedMessage."""
    try:
        return rounded_mantissa(text, MONEY_SCALE)
    except DecimalTextError as failure:
        raise MalformedMessage(f"{failure} of money") from None


def decode(decoder: msgspec.json.Decoder[_T], body: bytes | msgspec.Raw, what: str) -> _T:
    """Raises MalformedMessage."""
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as failure:
        raise MalformedMessage(f"{what}: reply has another shape than documented: {failure}") from None


def code(table: dict[str, _T], text: str, what: str) -> _T:
    """Raises MalformedMessage."""
    try:
        return table[text]
    except KeyError:
        raise MalformedMessage(f"{what} {text!r} is not a documented one") from None
