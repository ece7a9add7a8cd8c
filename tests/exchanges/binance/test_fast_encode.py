"""The compiled encoder words what order_codec and order_socket would, byte for byte, and leaves the rest to them."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.binance.auth import Parameters, RequestSigner
from exchanges.binance.fast_encode import FastEncoder
from exchanges.binance.oms import ROUTES, window_ms
from exchanges.binance.order_codec import OrderCodec
from exchanges.binance.order_socket import stamped, worded
from exchanges.order_instruments import OrderInstrument, OrderInstruments
from exchanges.order_wire import UnsupportedRequest
from exchanges.venue_oms import left_ns
from shm.layout import ExecFlag, OrderType, RequestType, Side, TimeInForce, instrument_id
from shm.records import OrderRequest
from tests.exchanges.encoder_check import NOW_NS, OWN, clock_at, requests

WINDOW_MS = 5_000
INSTRUMENTS = (
    OrderInstrument(instrument_id(1, 0), "BTCUSDT", price_scale=2, quantity_scale=3),
    OrderInstrument(instrument_id(1, 1), "1000PEPEUSDT", price_scale=7, quantity_scale=0),
    OrderInstrument(instrument_id(1, 2), "LONGUSDT", price_scale=18, quantity_scale=18),
    OrderInstrument(instrument_id(1, 3), "币安人生USDT", price_scale=5, quantity_scale=0),
)
CLOCK = clock_at(1_767_000_000_000_000_000)
CODEC = OrderCodec(OrderInstruments(INSTRUMENTS), 6)
SIGNER = RequestSigner(SimpleNamespace(api_key="k" * 64, secret="s" * 64))
ENCODER = FastEncoder(OrderInstruments(INSTRUMENTS), CLOCK, WINDOW_MS, SIGNER)


def generally(request: OrderRequest, identity: int, session: bool) -> bytes:
    """Raises UnsupportedRequest."""
    kind = request.request_type
    if kind == RequestType.NEW:
        parameters: Parameters = CODEC.encode_new(request)
    elif kind == RequestType.REPLACE:
        parameters = CODEC.encode_replace(request)
    else:
        parameters = CODEC.encode_cancel(request)
    window = window_ms(WINDOW_MS, left_ns(CLOCK, WINDOW_MS, request, NOW_NS))
    stamped(parameters, window, CLOCK.now_ms())
    return worded(identity, ROUTES[kind][1], parameters if session else SIGNER.signed_parameters(parameters))


@given(requests(INSTRUMENTS, (b"104819327443",)), st.integers(1, (1 << 63) - 1), st.booleans())
def test_what_it_words_is_what_the_general_encoder_words(request: OrderRequest, identity: int, session: bool) -> None:
    quick = ENCODER.encode(request, identity, NOW_NS, session)
    try:
        wanted = generally(request, identity, session)
    except UnsupportedRequest:
        assert quick is None
        return
    if quick is not None:
        assert quick == wanted
        assert json.loads(quick)["id"] == identity


@pytest.mark.parametrize("session", [False, True])
@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
@pytest.mark.parametrize("flags", range(16))
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
    kind: int, order_type: int, time_in_force: int, flags: int, side: int, session: bool
) -> None:
    one = OrderRequest()
    one.request_type, one.order_type, one.time_in_force, one.exec_flags = kind, order_type, time_in_force, flags
    one.client_order_id, one.instrument_id, one.side = OWN, INSTRUMENTS[1].id, side
    one.price, one.quantity, one.deadline_ns = 61_000, 12_500, NOW_NS + 700_000_000
    quick = ENCODER.encode(one, 7, NOW_NS, session)
    if (
        flags & ExecFlag.POST_ONLY
        and kind == RequestType.NEW
        and (order_type, time_in_force) != (OrderType.LIMIT, TimeInForce.GTC)
    ):
        assert quick is None
    else:
        assert quick == generally(one, 7, session)


def test_a_key_that_json_would_escape_is_left_to_the_general_encoder() -> None:
    signer = RequestSigner(SimpleNamespace(api_key='k"k', secret="s" * 64))
    encoder = FastEncoder(OrderInstruments(INSTRUMENTS), CLOCK, WINDOW_MS, signer)
    one = OrderRequest()
    one.request_type, one.client_order_id, one.instrument_id = RequestType.CANCEL, OWN, INSTRUMENTS[0].id
    assert encoder.encode(one, 7, NOW_NS, False) is None
