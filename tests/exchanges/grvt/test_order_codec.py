"""Requests as signed bodies: what is written is what is signed, and the simulator, which recovers signers, takes it."""

from __future__ import annotations

import contextlib
import itertools
import time
from types import SimpleNamespace
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.adapter import ConfigurationError
from exchanges.grvt.auth import RequestSigner
from exchanges.grvt.instruments import SigningTerms
from exchanges.grvt.legs import UnknownLegs, wire_id
from exchanges.grvt.order_codec import CREATE, RESTING_LIFE_NS, OrderCodec
from exchanges.grvt.order_messages import Reply
from exchanges.grvt.simulator import DEMO_KEY, SimulatorOptions, SimulatorServer
from exchanges.grvt.simulator_order_calls import read_order
from exchanges.grvt.simulator_venue import Call
from exchanges.order_events import FactFlag
from exchanges.order_instruments import OrderInstrument, OrderInstruments
from exchanges.order_wire import MalformedMessage, UnsupportedRequest
from exchanges.verdict import Outcome
from shm.layout import (
    EventType,
    ExecFlag,
    OrderState,
    OrderType,
    Reason,
    RequestType,
    Side,
    TimeInForce,
    client_order_id,
    instrument_id,
)
from shm.records import OrderRequest
from tests.exchanges.grvt.simulator_client import BTC, SUB, logged_in

INSTRUMENTS = OrderInstruments(
    [
        OrderInstrument(instrument_id(3, 0), BTC, price_scale=1, quantity_scale=3),
        OrderInstrument(instrument_id(3, 1), "DOGE_USDT_Perp", price_scale=5, quantity_scale=0),
    ]
)
TERMS = {BTC: SigningTerms("0x030501", 9), "DOGE_USDT_Perp": SigningTerms("0x031e01", 6)}
WINDOW_NS = 5 * 10**9
INSTANCE = 6
OWN_ID = client_order_id(INSTANCE, 2, 3, 77)


def codec(**changes: Any) -> OrderCodec:
    signer = RequestSigner(SimpleNamespace(api_key="", secret=DEMO_KEY.secret), 325, int(SUB))
    nonces = itertools.count(1)
    made = OrderCodec(INSTRUMENTS, INSTANCE)
    made.trade_as(signer, SUB, {**TERMS, **changes}, lambda: next(nonces))
    return made


def request(**fields: Any) -> OrderRequest:
    made = OrderRequest()
    values = {
        "instrument_id": instrument_id(3, 0), "side": Side.BUY, "order_type": OrderType.LIMIT, "quantity": 13,
        "price": 600_005, "client_order_id": OWN_ID, "time_in_force": TimeInForce.GTC, **fields,
    }  # fmt: skip
    for name, value in values.items():
        setattr(made, name, value)
    return made


@pytest.fixture(scope="module")
def server() -> SimulatorServer:
    return SimulatorServer(SimulatorOptions(symbols=(BTC, "DOGE_USDT_Perp"), api_keys=(DEMO_KEY,)))


def understood(server: SimulatorServer, body: dict[str, Any]) -> Any:
    """The order as the venue reads it, its signature checked, from the bytes that leave."""
    sent = orjson.loads(OrderCodec.encode_call(CREATE, body, 5))
    assert (sent["jsonrpc"], sent["method"], sent["id"]) == ("2.0", "v1/create_order", 5)
    return read_order(server.venue, Call({}, SUB), sent["params"]["order"])


def test_a_limit_order_is_written_exactly_and_signed_for_as_long_as_it_may_rest(server: SimulatorServer) -> None:
    now = time.time_ns()
    body = codec().encode_new(request(exec_flags=ExecFlag.POST_ONLY), now, WINDOW_NS)
    wire = understood(server, body)
    assert (str(wire.size), str(wire.price), wire.is_buy, wire.post_only) == ("0.013", "60000.5", True, True)
    assert wire.time_in_force == "GOOD_TILL_TIME"
    assert wire.client_order_id == str(OWN_ID)
    assert int(wire.signature["expiration"]) == now + RESTING_LIFE_NS


@pytest.mark.parametrize(
    ("fields", "word", "market"),
    [
        ({"time_in_force": TimeInForce.IOC}, "IMMEDIATE_OR_CANCEL", False),
        ({"time_in_force": TimeInForce.FOK}, "FILL_OR_KILL", False),
        ({"order_type": OrderType.MARKET, "price": 0}, "IMMEDIATE_OR_CANCEL", True),
        ({"order_type": OrderType.MARKET, "price": 0, "time_in_force": TimeInForce.FOK}, "FILL_OR_KILL", True),
    ],
)
def test_what_may_not_rest_is_signed_for_the_window_only(server: SimulatorServer, fields, word, market) -> None:
    now = time.time_ns()
    wire = understood(server, codec().encode_new(request(**fields), now, WINDOW_NS))
    assert (wire.time_in_force, wire.market) == (word, market)
    assert int(wire.signature["expiration"]) == now + WINDOW_NS


def test_good_till_date_is_the_end_of_the_signature(server: SimulatorServer) -> None:
    now = time.time_ns()
    body = codec().encode_new(request(time_in_force=TimeInForce.GTD, expire_time_ns=now + 60 * 10**9), now, WINDOW_NS)
    assert int(understood(server, body).signature["expiration"]) == now + 60 * 10**9


@given(
    st.integers(1, 10**9), st.integers(1, 10**9), st.sampled_from([Side.BUY, Side.SELL]), st.integers(0, 1),
    st.booleans(), st.booleans(),
)  # fmt: skip
def test_any_size_and_price_is_signed_as_it_is_written(quantity, price, side, row, post_only, reduce_only) -> None:
    server = _server()
    flags = int(ExecFlag.POST_ONLY) * post_only | int(ExecFlag.REDUCE_ONLY) * reduce_only
    made = request(instrument_id=instrument_id(3, row), quantity=quantity, price=price, side=side, exec_flags=flags)
    wire = understood(server, codec().encode_new(made, time.time_ns(), WINDOW_NS))
    scales = ((1, 3), (5, 0))[row]
    assert wire.price.scaleb(scales[0]) == price
    assert wire.size.scaleb(scales[1]) == quantity
    assert (wire.is_buy, wire.post_only, wire.reduce_only) == (side == Side.BUY, post_only, reduce_only)


_kept: list[SimulatorServer] = []


def _server() -> SimulatorServer:
    if not _kept:
        _kept.append(SimulatorServer(SimulatorOptions(symbols=(BTC, "DOGE_USDT_Perp"), api_keys=(DEMO_KEY,))))
    return _kept[0]


def test_every_order_has_a_nonce_of_its_own() -> None:
    made = codec()
    nonces = {made.encode_new(request(), 10**18, 1)["order"]["signature"]["nonce"] for _ in range(50)}
    assert len(nonces) == 50


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"side": 0}, "neither BUY nor SELL"),
        ({"order_type": 9}, "neither LIMIT nor MARKET"),
        ({"time_in_force": 99}, "not known here"),
        ({"exec_flags": ExecFlag.EXPIRE_TAKER}, "self-trade prevention"),
        ({"exec_flags": ExecFlag.POST_ONLY, "time_in_force": TimeInForce.IOC}, "may rest"),
        ({"exec_flags": ExecFlag.POST_ONLY, "order_type": OrderType.MARKET}, "may rest"),
        ({"instrument_id": instrument_id(3, 9)}, "configured symbols"),
        ({"time_in_force": TimeInForce.GTD, "expire_time_ns": 5}, "in the past"),
        ({"time_in_force": TimeInForce.GTD, "expire_time_ns": 2 * 10**18}, "29 days"),
    ],
)
def test_what_the_venue_cannot_do_is_refused_here(fields, words: str) -> None:
    with pytest.raises(UnsupportedRequest, match=words):
        codec().encode_new(request(**fields), 10**18, WINDOW_NS)


def test_steps_finer_than_a_signature_are_refused_at_the_start() -> None:
    with pytest.raises(ConfigurationError, match=r"BTC_USDT_Perp has finer steps"):
        codec(**{BTC: SigningTerms("0x030501", 2)})


async def test_the_simulator_takes_and_cancels_it_by_our_id() -> None:
    made = codec()
    async with logged_in() as client:
        body = made.encode_new(request(exec_flags=ExecFlag.POST_ONLY, price=590_000), time.time_ns(), WINDOW_NS)
        status, answer = await client.post(CREATE, **body)
        assert status == 200, answer
        found: Any = None
        while found != "OPEN":
            answer = (await client.post("v1/order", **made.encode_query(request())))[1]
            found = answer["result"]["state"]["status"]
        assert (await client.post("v1/cancel_order", **made.encode_cancel(request())))[1] == {"result": {"ack": True}}
        assert (await client.post("v1/order", **made.encode_query(request())))[1]["result"]["state"][
            "status"
        ] == "CANCELLED"


# --- what the venue says ----------------------------------------------------------------------------------------------
def wire_order(status: str, reason: str = "UNSPECIFIED", traded: str = "0.0", **changes: Any) -> dict[str, Any]:
    """An order of ours as v1.order tells it."""
    return {
        "order_id": "0x010101050390cd89000000007799a374", "sub_account_id": SUB, "is_market": False,
        "time_in_force": "GOOD_TILL_TIME", "post_only": True, "reduce_only": False,
        "legs": [{"instrument": BTC, "size": "0.1", "limit_price": "60000.5", "is_buying_asset": False}],
        "signature": {"signer": "0x00", "expiration": "1790000000000000000", "nonce": 1},
        "metadata": {"client_order_id": str(OWN_ID), "create_time": "1767359366686762920"},
        "state": {
            "status": status, "reject_reason": reason, "book_size": ["0.1"], "traded_size": [traded],
            "update_time": "1767359366686762921", "avg_fill_price": ["0.0"],
        },
    } | changes  # fmt: skip


@pytest.mark.parametrize(
    ("status", "reason", "traded", "kind", "state", "why"),
    [
        ("OPEN", "UNSPECIFIED", "0.0", EventType.ACCEPTED, OrderState.OPEN, Reason.NONE),
        ("OPEN", "UNSPECIFIED", "0.03", EventType.STATUS, OrderState.PARTIALLY_FILLED, Reason.NONE),
        ("FILLED", "UNSPECIFIED", "0.1", EventType.STATUS, OrderState.FILLED, Reason.NONE),
        ("CANCELLED", "CLIENT_CANCEL", "0.0", EventType.CANCELED, OrderState.CANCELED, Reason.VENUE_USER_CANCEL),
        ("CANCELLED", "EXPIRED", "0.0", EventType.EXPIRED, OrderState.EXPIRED, Reason.VENUE_EXPIRED),
        ("CANCELLED", "IOC_CANCEL", "0.03", EventType.EXPIRED, OrderState.EXPIRED, Reason.VENUE_EXPIRED),
        ("REJECTED", "IOC_CANCEL", "0.0", EventType.EXPIRED, OrderState.EXPIRED, Reason.VENUE_EXPIRED),
        ("REJECTED", "IOC_CANCEL", "0.03", EventType.EXPIRED, OrderState.EXPIRED, Reason.VENUE_EXPIRED),
        ("REJECTED", "FAIL_POST_ONLY", "0.0", EventType.REJECTED, OrderState.REJECTED, Reason.VENUE_POST_ONLY),
        ("REJECTED", "UNSPECIFIED", "0.0", EventType.REJECTED, OrderState.REJECTED, Reason.VENUE_REJECTED),
        ("REJECTED", "LIQUIDATION", "0.03", EventType.CANCELED, OrderState.CANCELED, Reason.VENUE_LIQUIDATION),
        (
            "CANCELLED", "CLIENT_CANCEL_ON_DISCONNECT_TRIGGERED", "0.0", EventType.CANCELED, OrderState.CANCELED,
            Reason.DISCONNECTED,
        ),
    ],
)  # fmt: skip
def test_every_state_of_the_venue_is_told(status, reason, traded, kind, state, why) -> None:
    fact = codec().order_update(orjson.dumps(wire_order(status, reason, traded)), 5)
    assert fact is not None
    assert (fact.event_type, fact.order_state, fact.reason) == (kind, state, why)
    assert (fact.client_order_id, fact.strategy_id, fact.epoch) == (OWN_ID, 2, 3)
    assert (fact.side, fact.price, fact.quantity) == (Side.SELL, 600_005, 100)
    assert fact.cumulative_quantity == round(float(traded) * 1000)
    assert fact.flags == FactFlag.CUMULATIVE_KNOWN | FactFlag.TERMS_KNOWN | FactFlag.STREAM


def test_a_pending_order_says_that_and_nothing_else() -> None:
    fact, verdict = codec().decode_request_reply(
        request(request_type=RequestType.NEW), Reply(result=raw({"result": wire_order("PENDING", order_id="0x00")})), 5
    )
    assert verdict is None
    assert (fact.event_type, fact.order_state, fact.flags) == (EventType.STATUS, OrderState.PENDING_NEW, 0)
    assert fact.exchange_order_id == b""


@pytest.mark.parametrize("nested", [True, False])
def test_an_order_over_a_socket_is_taken_with_and_without_the_body_around_it(nested: bool) -> None:
    shown = wire_order("OPEN")
    reply = Reply(result=raw({"result": shown} if nested else shown))
    fact, verdict = codec().decode_request_reply(request(request_type=RequestType.QUERY), reply, 5)
    assert (verdict, fact.order_state) == (None, OrderState.OPEN)


@pytest.mark.parametrize("ack", [True, "true"])
def test_an_ack_is_no_cancel(ack: Any) -> None:
    cancel = request(request_type=RequestType.CANCEL, request_id=9)
    fact, verdict = codec().decode_request_reply(cancel, Reply(result=raw({"result": {"ack": ack}})), 5)
    assert (verdict, fact.event_type, fact.order_state) == (None, EventType.STATUS, OrderState.PENDING_CANCEL)
    assert (fact.request_id, fact.flags) == (9, 0)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"result": {"ack": False}},
        {"result": []},
        {"result": wire_order("MELTED")},
        {"result": wire_order("OPEN", legs=[])},
    ],
)
@pytest.mark.parametrize("kind", [RequestType.NEW, RequestType.CANCEL])
def test_a_reply_that_cannot_be_read_leaves_the_outcome_unknown(kind: RequestType, body: dict[str, Any]) -> None:
    fact, verdict = codec().decode_request_reply(request(request_type=kind), Reply(result=raw(body)), 5)
    assert verdict is not None
    assert (verdict.outcome, fact.event_type) == (Outcome.UNKNOWN, EventType.UNKNOWN)


def test_an_answer_that_is_not_the_venues_leaves_the_outcome_unknown() -> None:
    reply = codec().decode_answer(502, b"<html>bad gateway</html>")
    fact, verdict = codec().decode_request_reply(request(request_type=RequestType.NEW), reply, 5)
    assert verdict is not None
    assert (verdict.outcome, fact.event_type, fact.text) == (Outcome.UNKNOWN, EventType.UNKNOWN, b"HTTP 502")


def test_a_later_leg_counts_for_the_whole_order() -> None:
    made = codec()
    later = wire_order("OPEN", traded="0.03", metadata={"client_order_id": str(wire_id(OWN_ID, 2)), "create_time": "5"})
    with pytest.raises(UnknownLegs):
        made.order_update(orjson.dumps(later), 5)
    made.legs.stand(OWN_ID, 2, 250)
    fact = made.order_update(orjson.dumps(later), 5)
    assert fact is not None
    assert (fact.client_order_id, fact.quantity, fact.cumulative_quantity) == (OWN_ID, 350, 280)
    earlier = wire_order("CANCELLED", "CLIENT_CANCEL")
    fact = made.order_update(orjson.dumps(earlier), 5)
    assert fact is not None
    assert (fact.order_state, fact.flags & FactFlag.TERMS_KNOWN) == (OrderState.NONE, 0)


def test_a_cancel_that_met_no_order_says_so() -> None:
    feed = {"sub_account_id": SUB, "client_order_id": str(OWN_ID), "cancel_status": "EXPIRED", "update_time": "7"}
    fact = codec().cancel_outcome(orjson.dumps(feed), 5)
    assert fact is not None
    assert (fact.event_type, fact.reason) == (EventType.CANCEL_REJECTED, Reason.VENUE_UNKNOWN_ORDER)
    assert codec().cancel_outcome(orjson.dumps({**feed, "cancel_status": "DROPPED_DUPLICATE"}), 5) is None
    assert codec().cancel_outcome(orjson.dumps({**feed, "client_order_id": "12"}), 5) is None


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_nothing_that_comes_breaks_the_codec(body: bytes) -> None:
    made = codec()
    for read in (made.order_update, made.fill, made.cancel_outcome, made.decode_order, made.decode_orders):
        with contextlib.suppress(MalformedMessage):
            read(body, 5)


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(orjson.dumps(value))
