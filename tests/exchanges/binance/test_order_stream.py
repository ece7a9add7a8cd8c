"""From the venue's bytes to the one stream of events: replies of both order paths, TRADE_LITE, ORDER_TRADE_UPDATE and
queries of one order, in any order and any number."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.binance.order_codec import OrderCodec
from exchanges.binance.order_messages import OrderTradeUpdate, TradeLite
from exchanges.order_instruments import OrderInstruments
from shm.layout import EventType, FillPart, OrderState, OrderType, TimeInForce
from shm.records import OrderEvent, OrderRequest
from tests.exchanges.order_world import BTC, ETH, INSTANCE, World

E = EventType
CODEC = OrderCodec(OrderInstruments([BTC, ETH]), INSTANCE)
QUANTITY = 20
VENUE_ID = 33878890001
T0 = 1_790_000_000_000
ENDS = {
    "rests": OrderState.OPEN,
    "canceled": OrderState.CANCELED,
    "expired": OrderState.EXPIRED,
    "expired in match": OrderState.EXPIRED,
}
WIRE_STATES = {"canceled": "CANCELED", "expired": "EXPIRED", "expired in match": "EXPIRED_IN_MATCH"}


def amount(mantissa: int) -> str:
    return f"{mantissa // 1000}.{mantissa % 1000:03d}"


def price(mantissa: int) -> str:
    return f"{mantissa // 100}.{mantissa % 100:02d}"


@dataclass
class Life:
    """What happened at the venue: fills as (quantity, price) mantissas, and how the rest ended."""

    fills: list[tuple[int, int]]
    end: str

    @property
    def filled(self) -> int:
        return sum(quantity for quantity, _ in self.fills)

    @property
    def state(self) -> OrderState:
        if self.filled == QUANTITY:
            return OrderState.FILLED
        if self.end == "rests" and self.fills:
            return OrderState.PARTIALLY_FILLED
        return ENDS[self.end]

    @property
    def wire_state(self) -> str:
        if self.filled == QUANTITY:
            return "FILLED"
        return WIRE_STATES.get(self.end, "PARTIALLY_FILLED" if self.fills else "NEW")


@st.composite
def lives(draw: st.DrawFn) -> Life:
    fills: list[tuple[int, int]] = []
    left = QUANTITY
    for _ in range(draw(st.integers(0, 4))):
        if left:
            quantity = draw(st.integers(1, left))
            fills.append((quantity, draw(st.integers(5_990_000, 6_000_000))))
            left -= quantity
    return Life(fills, draw(st.sampled_from(sorted(ENDS))))


def reply(request: OrderRequest, status: str, executed: int, time_ms: int) -> bytes:
    return json.dumps(
        {
            "orderId": VENUE_ID, "symbol": "BTCUSDT", "status": status, "clientOrderId": str(request.client_order_id),
            "price": price(request.price), "origQty": amount(QUANTITY), "executedQty": amount(executed),
            "cumQty": amount(executed), "timeInForce": "GTC", "type": "LIMIT", "side": "BUY", "updateTime": time_ms,
        }
    ).encode()  # fmt: skip


def update(request: OrderRequest, kind: str, status: str, executed: int, time_ms: int, **fill: Any) -> bytes:
    order = {
        "s": "BTCUSDT", "c": str(request.client_order_id), "S": "BUY", "o": "LIMIT", "f": "GTC", "q": amount(QUANTITY),
        "p": price(request.price), "x": kind, "X": status, "i": VENUE_ID, "l": "0", "z": amount(executed), "L": "0",
        "T": time_ms, "t": 0, "n": "0", "N": "USDT", "m": True, "R": False, "er": "0",
    } | fill  # fmt: skip
    return json.dumps({"e": "ORDER_TRADE_UPDATE", "T": time_ms, "E": time_ms, "o": order}).encode()


def trade_lite(request: OrderRequest, time_ms: int, **fill: Any) -> bytes:
    frame = {
        "e": "TRADE_LITE", "E": time_ms, "T": time_ms, "s": "BTCUSDT", "q": amount(QUANTITY), "p": price(request.price),
        "m": True, "c": str(request.client_order_id), "S": "BUY", "i": VENUE_ID,
    } | fill  # fmt: skip
    return json.dumps(frame).encode()


def facts(request: OrderRequest, life: Life) -> list[OrderEvent]:
    """Everything that the venue says about this life, decoded."""
    ack = reply(request, "NEW", 0, T0)
    socket = CODEC.decode_socket_reply(b'{"id":7,"status":200,"result":' + ack + b"}")
    said = [
        CODEC.decode_request_reply(request, 200, ack, 1)[0],
        CODEC.decode_request_reply(request, socket.status, socket.body, 1)[0],
    ]
    frames = [update(request, "NEW", "NEW", 0, T0)]
    executed = 0
    for number, (quantity, at) in enumerate(life.fills):
        executed += quantity
        time_ms = T0 + 1 + number
        status = "FILLED" if executed == QUANTITY else "PARTIALLY_FILLED"
        fill = {"l": amount(quantity), "L": price(at), "t": 500 + number}
        frames.append(trade_lite(request, time_ms, **fill))
        frames.append(update(request, "TRADE", status, executed, time_ms, n="0.08", **fill))
    if life.wire_state in WIRE_STATES.values():
        kind = "CANCELED" if life.end == "canceled" else "EXPIRED"
        frames.append(update(request, kind, life.wire_state, executed, T0 + 90))
    said.append(CODEC.decode_order(reply(request, life.wire_state, executed, T0 + 95), 1))
    for frame in frames:
        message = CODEC.decode_stream(frame)
        if isinstance(message, TradeLite):
            fact = CODEC.trade_lite(message, 1)
        else:
            assert isinstance(message, OrderTradeUpdate)
            fact = CODEC.order_update(message, 1)
        assert fact is not None
        said.append(fact)
    return said


@given(life=lives(), data=st.data())
def test_any_order_and_number_of_messages_gives_one_consistent_stream(
    tmp_path_factory: pytest.TempPathFactory, life: Life, data: st.DataObject
) -> None:
    world = World(tmp_path_factory.mktemp("stream"))
    request = world.send_new(quantity=QUANTITY, order_type=OrderType.LIMIT, time_in_force=TimeInForce.GTC)
    said = facts(request, life)
    shuffled = data.draw(st.permutations(said))
    repeated = data.draw(st.lists(st.sampled_from(said), max_size=8))
    for fact in (*shuffled, *repeated):
        world.merger.on_fact(fact.copy())

    order = world.store.get(request.client_order_id)
    assert order is not None
    assert (order.state, order.cumulative_quantity) == (life.state, life.filled)
    events = world.events_of(request.client_order_id)
    fills = [event for event in events if event.parts & FillPart.QUANTITY]
    assert sorted(int(event.trade_id) for event in fills) == [500 + number for number in range(len(life.fills))]
    assert sum(event.last_quantity for event in fills) == life.filled
    assert sum(event.last_quantity * event.last_price for event in fills) == sum(
        quantity * at for quantity, at in life.fills
    ), "the average price is the venue's"
    fees = [event for event in events if event.parts & FillPart.FEE]
    assert sorted(event.trade_id for event in fees) == sorted(event.trade_id for event in fills)
    total = 0
    for event in events:
        total += event.last_quantity if event.parts & FillPart.QUANTITY else 0
        if event.event_type in (E.FILL, E.FILL_FEE, E.CANCELED, E.EXPIRED):
            assert event.cumulative_quantity == total
    kinds = [event.event_type for event in events if event.event_type != E.SENT]
    assert kinds[0] == E.ACCEPTED and kinds.count(E.ACCEPTED) == 1
    ends = [kind for kind in kinds if kind in (E.CANCELED, E.EXPIRED, E.REJECTED)]
    assert ends == ({OrderState.CANCELED: [E.CANCELED], OrderState.EXPIRED: [E.EXPIRED]}.get(life.state, []))
    assert world.counters["contradictions"] == 0
    assert world.gate.net_position(BTC.id) == life.filled
