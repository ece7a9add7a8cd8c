"""The compiled encoder words what order_codec and order_socket would, byte for byte, and leaves the rest to them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.deribit.fast_encode import FastEncoder
from exchanges.deribit.oms import valid_until_ms
from exchanges.deribit.order_codec import OrderCodec
from exchanges.deribit.order_socket import worded
from exchanges.order_instruments import OrderInstrument, OrderInstruments
from exchanges.order_wire import UnsupportedRequest
from exchanges.venue_oms import left_ns
from shm.layout import ExecFlag, OrderType, RequestType, Side, TimeInForce, instrument_id
from shm.records import OrderRequest
from tests.exchanges.encoder_check import NOW_NS, OWN, clock_at, requests

WINDOW_MS = 5_000
INSTRUMENTS = (
    OrderInstrument(instrument_id(2, 0), "BTC-PERPETUAL", price_scale=1, quantity_scale=0, inverse=True),
    OrderInstrument(instrument_id(2, 1), "XRP_USDC-30JUN23-0d625-C", price_scale=4, quantity_scale=3),
    OrderInstrument(instrument_id(2, 2), "LONG-18", price_scale=18, quantity_scale=18),
    OrderInstrument(instrument_id(2, 3), 'ODD"NAME', price_scale=0, quantity_scale=0),
)
KNOWN = {OWN: b"74311500001", OWN + 1: b'odd"id'}
CLOCK = clock_at(1_767_000_000_000_000_000)
CODEC = OrderCodec(OrderInstruments(INSTRUMENTS), 6)
CODEC.exchange_ids.update(KNOWN)
ENCODER = FastEncoder(OrderInstruments(INSTRUMENTS), CLOCK, WINDOW_MS, CODEC.exchange_ids)


def generally(request: OrderRequest, identity: int) -> bytes:
    """Raises UnsupportedRequest."""
    until = valid_until_ms(CLOCK, NOW_NS, left_ns(CLOCK, WINDOW_MS, request, NOW_NS))
    kind = request.request_type
    if kind == RequestType.NEW:
        return worded(identity, *CODEC.encode_new(request, until))
    if kind == RequestType.REPLACE:
        return worded(identity, *CODEC.encode_replace(request, until))
    return worded(identity, *(CODEC.encode_cancel if kind == RequestType.CANCEL else CODEC.encode_query)(request))


@given(
    requests(INSTRUMENTS, (b"USDC-104819327443", b'quote"', "ü".encode(), b"9" * 40)),
    st.integers(1, (1 << 63) - 1),
    st.booleans(),
)
def test_what_it_words_is_what_the_general_encoder_words(request: OrderRequest, identity: int, session: bool) -> None:
    quick = ENCODER.encode(request, identity, NOW_NS, session)
    try:
        wanted = generally(request, identity)
    except UnsupportedRequest:
        assert quick is None
        return
    if quick is not None:
        assert quick == wanted
        assert json.loads(quick)["id"] == identity


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
@pytest.mark.parametrize("flags", [0, ExecFlag.POST_ONLY, ExecFlag.REDUCE_ONLY, 3])
@pytest.mark.parametrize(
    ("kind", "order_type", "time_in_force"),
    [
        (RequestType.NEW, OrderType.LIMIT, TimeInForce.GTC),
        (RequestType.NEW, OrderType.LIMIT, TimeInForce.IOC),
        (RequestType.NEW, OrderType.LIMIT, TimeInForce.FOK),
        (RequestType.NEW, OrderType.MARKET, TimeInForce.NONE),
        (RequestType.REPLACE, OrderType.LIMIT, TimeInForce.GTC),
        (RequestType.CANCEL, OrderType.LIMIT, TimeInForce.GTC),
    ],
)
def test_it_words_whatever_a_market_maker_sends_all_day(
    kind: int, order_type: int, time_in_force: int, flags: int, side: int
) -> None:
    one = OrderRequest()
    one.request_type, one.order_type, one.time_in_force, one.exec_flags = kind, order_type, time_in_force, flags
    one.client_order_id, one.instrument_id, one.side = OWN, INSTRUMENTS[1].id, side
    one.price, one.quantity, one.deadline_ns = 61_000, 12_500, NOW_NS + 700_000_000
    quick = ENCODER.encode(one, 7, NOW_NS, False)
    try:
        wanted = generally(one, 7)
    except UnsupportedRequest:
        assert quick is None
    else:
        assert quick == wanted
