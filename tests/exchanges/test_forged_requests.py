"""The engine alone against what a hostile strategy can write into its request ring.

Strategies share the trader's process, so nothing of the trader stands between them and the ring: every limit must hold
here again. The records below go through a real ring into a real engine with its real gate; only the venue is missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exchanges.epoch_fence import EpochFence
from shm.layout import (
    REQUEST_RING_KINDS,
    ExecFlag,
    OrderType,
    Reason,
    RequestType,
    SegmentKind,
    Side,
    TimeInForce,
    client_order_id,
    slot_stride,
)
from shm.records import OrderRequest
from shm.ring import LosslessReader, LosslessWriter
from shm.segment import Segment
from tests.exchanges.order_world import BTC, EPOCH, ETH, INSTANCE, LIMITS, MID, SECOND, STRATEGY, World

INT64_MAX = 2**63 - 1
PRICE = 6_000_000


class Ring:
    """A request ring with a forger at one end and an engine at the other."""

    def __init__(self, directory: Path) -> None:
        self.world = World(directory)
        self.name = f"/corelane.test{os.getpid()}-forged"
        segment = Segment.create(self.name, SegmentKind.LOSSLESS_RING, 64, slot_stride(*REQUEST_RING_KINDS))
        self.writer = LosslessWriter(segment)
        self.reader = LosslessReader(Segment.attach(self.name, SegmentKind.LOSSLESS_RING))
        self.forged = OrderRequest()

    def close(self) -> None:
        Segment.remove(self.name)

    def write(self, request: OrderRequest, **fields: Any) -> list[Any]:
        """Publish and let the engine read it; what it answered."""
        for name, value in fields.items():
            setattr(request, name, value)
        assert self.writer.try_publish(request)
        told = len(self.world.told)
        while (record := self.reader.poll()) is not None:
            self.world.engine.on_request(record)
        self.reader.commit()
        return self.world.told[told:]

    def sent(self) -> list[OrderRequest]:
        return self.world.gateway.sent


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[Ring]:
    made = Ring(tmp_path)
    yield made
    made.close()


def order_id(instance: int = INSTANCE, strategy: int = STRATEGY, epoch: int = EPOCH, counter: int = 77) -> int:
    return client_order_id(instance, strategy, epoch, counter)


FORGED_NEW = [
    ("an epoch that is over", {"epoch": EPOCH - 1}, Reason.STALE_EPOCH),
    ("an epoch that never was", {"epoch": EPOCH + 1}, Reason.STALE_EPOCH),
    ("no epoch", {"epoch": 0}, Reason.STALE_EPOCH),
    ("the largest epoch", {"epoch": 2**32 - 1}, Reason.STALE_EPOCH),
    ("an id of another instance", {"client_order_id": order_id(INSTANCE + 1)}, Reason.BAD_REQUEST),
    ("an id of another epoch", {"client_order_id": order_id(epoch=EPOCH - 1)}, Reason.BAD_REQUEST),
    ("an id of another strategy", {"client_order_id": order_id(strategy=STRATEGY + 1)}, Reason.BAD_REQUEST),
    ("an id that no client of ours makes", {"client_order_id": 1234}, Reason.BAD_REQUEST),
    ("no id", {"client_order_id": 0}, Reason.BAD_REQUEST),
    ("no request id", {"request_id": 0}, Reason.BAD_REQUEST),
    ("an instrument nobody has", {"instrument_id": 999}, Reason.BAD_REQUEST),
    ("an instrument of another venue", {"instrument_id": 2 << 16}, Reason.BAD_REQUEST),
    ("no quantity", {"quantity": 0}, Reason.BAD_REQUEST),
    ("a negative quantity", {"quantity": -10}, Reason.BAD_REQUEST),
    ("the most negative quantity", {"quantity": -INT64_MAX - 1}, Reason.BAD_REQUEST),
    ("the largest quantity", {"quantity": INT64_MAX}, Reason.RISK_SIZE),
    ("one lot above the limit", {"quantity": LIMITS.max_order_quantity[BTC.id] + 1}, Reason.RISK_SIZE),
    ("no price", {"price": 0}, Reason.BAD_REQUEST),
    ("a negative price", {"price": -PRICE}, Reason.BAD_REQUEST),
    ("a price between ticks", {"price": PRICE + 1}, Reason.BAD_REQUEST),
    ("the largest price on a tick", {"price": INT64_MAX // 10 * 10}, Reason.RISK_COLLAR),
    ("a price outside the collar", {"price": PRICE // 2}, Reason.RISK_COLLAR),
    ("no side", {"side": 0}, Reason.BAD_REQUEST),
    ("a third side", {"side": 3}, Reason.BAD_REQUEST),
    ("an unknown side", {"side": 255}, Reason.BAD_REQUEST),
    ("no order type", {"order_type": 0}, Reason.BAD_REQUEST),
    ("an unknown order type", {"order_type": 200}, Reason.BAD_REQUEST),
    ("an unknown time in force", {"time_in_force": 200}, Reason.BAD_REQUEST),
    ("unknown flags", {"exec_flags": 0x80}, Reason.BAD_REQUEST),
    ("a deadline that is over", {"deadline_ns": 1}, Reason.DEADLINE_PASSED),
    ("no deadline", {"deadline_ns": 0}, Reason.DEADLINE_PASSED),
    ("a negative deadline", {"deadline_ns": -INT64_MAX}, Reason.DEADLINE_PASSED),
    ("a deadline that never comes", {"deadline_ns": INT64_MAX}, Reason.BAD_REQUEST),
    ("a market order of the largest size", {"order_type": OrderType.MARKET, "quantity": INT64_MAX}, Reason.RISK_SIZE),
    ("an unknown request type", {"request_type": 99}, Reason.BAD_REQUEST),
]


@pytest.mark.parametrize(("fields", "reason"), [one[1:] for one in FORGED_NEW], ids=[one[0] for one in FORGED_NEW])
def test_a_forged_new_order_is_answered_with_its_reason_and_never_sent(
    ring: Ring, fields: dict[str, Any], reason: Reason
) -> None:
    answers = ring.write(ring.world.new_request(), **fields)
    assert ring.sent() == [] and ring.world.store.open_count == 0
    assert [Reason(answer.reason) for answer in answers] == [reason]
    assert ring.world.engine.merger.unsent == 0
    assert len(ring.write(ring.world.new_request())) == 0 and len(ring.sent()) == 1, "the next honest one passes"


def test_a_reduce_only_flag_is_not_believed(ring: Ring) -> None:
    """Whether an order reduces is the gate's own arithmetic; the flag alone opens nothing."""
    answers = ring.write(ring.world.new_request(exec_flags=ExecFlag.REDUCE_ONLY, quantity=2_000))
    assert [answer.reason for answer in answers] == [Reason.RISK_SIZE] and not ring.sent()


def test_many_small_orders_do_not_add_up_beyond_the_position_limit(ring: Ring) -> None:
    for _ in range(20):
        ring.write(ring.world.new_request(quantity=1_000))
    total = sum(request.quantity for request in ring.sent())
    assert total == LIMITS.max_position[BTC.id] and ring.world.told[-1].reason == Reason.RISK_POSITION


def test_a_request_id_that_is_in_flight_is_not_taken_again(ring: Ring) -> None:
    """The venue's answers find their request by this id: a second one would get the first one's answer."""
    first = ring.world.new_request()
    ring.write(first)
    answers = ring.write(ring.world.new_request(), request_id=first.request_id)
    assert [answer.reason for answer in answers] == [Reason.BAD_REQUEST] and len(ring.sent()) == 1


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"quantity": INT64_MAX}, Reason.RISK_SIZE),
        ({"quantity": 1_001}, Reason.RISK_SIZE),
        ({"quantity": 0}, Reason.BAD_REQUEST),
        ({"quantity": -1}, Reason.BAD_REQUEST),
        ({"price": 0}, Reason.BAD_REQUEST),
        ({"price": -PRICE}, Reason.BAD_REQUEST),
        ({"price": INT64_MAX // 10 * 10}, Reason.RISK_COLLAR),
        ({"deadline_ns": INT64_MAX}, Reason.BAD_REQUEST),
        ({"deadline_ns": 1}, Reason.DEADLINE_PASSED),
        ({"epoch": EPOCH + 1}, Reason.STALE_EPOCH),
        ({"client_order_id": order_id(counter=4_000)}, Reason.UNKNOWN_ORDER_HERE),
        ({"client_order_id": order_id(INSTANCE + 1)}, Reason.UNKNOWN_ORDER_HERE),
        ({"time_in_force": 99}, Reason.BAD_REQUEST),
        ({"request_id": 0}, Reason.BAD_REQUEST),
    ],
)
def test_a_forged_replace_changes_nothing(ring: Ring, fields: dict[str, Any], reason: Reason) -> None:
    request, _ = ring.world.accepted(quantity=10)
    forged = ring.world.request(RequestType.REPLACE, request.client_order_id, price=PRICE - 100, quantity=20)
    answers = ring.write(forged, **fields)
    assert [Reason(answer.reason) for answer in answers] == [reason]
    order = ring.world.store.get(request.client_order_id)
    assert order is not None and (order.quantity, order.replaces) == (10, 0) and len(ring.sent()) == 1


def test_a_replace_that_lies_about_side_type_and_instrument_keeps_those_of_its_order(ring: Ring) -> None:
    request, _ = ring.world.accepted(quantity=10)
    ring.write(
        ring.world.request(RequestType.REPLACE, request.client_order_id, price=PRICE - 100, quantity=20),
        side=Side.SELL, order_type=OrderType.MARKET, instrument_id=ETH.id,
    )  # fmt: skip
    sent = ring.sent()[-1]
    assert (sent.request_type, sent.quantity) == (RequestType.REPLACE, 20)
    assert (sent.side, sent.order_type, sent.instrument_id) == (Side.BUY, OrderType.LIMIT, BTC.id)


@pytest.mark.parametrize("kind", [RequestType.CANCEL, RequestType.QUERY])
@pytest.mark.parametrize("ready", [True, False])
@pytest.mark.parametrize("foreign", [1234, 0, 2**64 - 1, order_id(INSTANCE + 1)])
def test_orders_of_others_are_neither_canceled_nor_asked_for(
    ring: Ring, kind: RequestType, ready: bool, foreign: int
) -> None:
    ring.world.engine.ready = ready
    answers = ring.write(ring.world.request(kind, foreign))
    assert [answer.reason for answer in answers] == [Reason.BAD_REQUEST] and not ring.sent()


@pytest.mark.parametrize("kind", [RequestType.CANCEL, RequestType.QUERY])
def test_a_cancel_or_question_that_names_another_instrument_goes_to_that_of_its_order(
    ring: Ring, kind: RequestType
) -> None:
    """At the wrong symbol the venue would truthfully say that there is no such order, and the order would live on."""
    request, _ = ring.world.accepted(quantity=10)
    ring.write(ring.world.request(kind, request.client_order_id), instrument_id=ETH.id, side=Side.SELL)
    assert (ring.sent()[-1].request_type, ring.sent()[-1].instrument_id) == (kind, BTC.id)


@pytest.mark.parametrize("kind", [RequestType.CANCEL, RequestType.QUERY])
def test_a_cancel_or_question_about_an_unknown_order_at_an_unknown_instrument_is_refused(
    ring: Ring, kind: RequestType
) -> None:
    ring.world.engine.ready = False
    answers = ring.write(ring.world.request(kind, order_id(counter=4_000)), instrument_id=999)
    assert [answer.reason for answer in answers] == [Reason.BAD_REQUEST] and not ring.sent()


@pytest.mark.parametrize("epoch", [0, EPOCH - 1, 2**16, 2**32 - 1])
def test_a_recovery_under_an_epoch_that_no_trader_can_have_is_refused_and_moves_no_fence(
    ring: Ring, epoch: int
) -> None:
    """The fence never moves back: one forged number would shut every trader of the future out."""
    answers = ring.write(ring.world.request(RequestType.RECOVER), epoch=epoch)
    assert [answer.reason for answer in answers] == [Reason.STALE_EPOCH]
    assert ring.world.fence.accepted == EPOCH and not ring.world.recoverer.asked
    assert EpochFence(ring.world.directory / "epoch").accepted == EPOCH


requests = st.fixed_dictionaries(
    {},
    optional={
        "request_type": st.one_of(st.sampled_from(list(RequestType)), st.integers(0, 255)),
        "client_order_id": st.one_of(st.integers(0, 2**64 - 1), st.builds(order_id, counter=st.integers(1, 12))),
        "instrument_id": st.one_of(st.sampled_from([BTC.id, ETH.id]), st.integers(0, 2**32 - 1)),
        "strategy_id": st.one_of(st.just(STRATEGY), st.integers(0, 2**16 - 1)),
        "epoch": st.one_of(st.just(EPOCH), st.integers(0, 2**32 - 1)),
        "side": st.integers(0, 255),
        "order_type": st.integers(0, 255),
        "time_in_force": st.integers(0, 255),
        "exec_flags": st.integers(0, 255),
        "account": st.integers(0, 255),
        "price": st.one_of(st.integers(-INT64_MAX - 1, INT64_MAX), st.integers(540_000, 660_000).map(lambda n: n * 10)),
        "quantity": st.one_of(st.integers(-INT64_MAX - 1, INT64_MAX), st.integers(1, 6_000)),
        "deadline_ns": st.integers(-INT64_MAX - 1, INT64_MAX),
        "expire_time_ns": st.integers(-INT64_MAX - 1, INT64_MAX),
        "request_id": st.integers(0, 2**64 - 1),
        "exchange_order_id": st.binary(max_size=40),
        "publish_time_ns": st.integers(-INT64_MAX - 1, INT64_MAX),
    },
)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(requests, min_size=1, max_size=6))
def test_whatever_stands_in_the_ring_nothing_leaves_that_the_limits_do_not_allow(
    tmp_path: Path, forged: list[dict[str, Any]]
) -> None:
    for file in tmp_path.iterdir():
        file.unlink()
    ring = Ring(tmp_path)
    try:
        request, _ = ring.world.accepted(quantity=10)
        before = len(ring.sent())
        for fields in forged:
            sent, journaled = len(ring.sent()), len(ring.world.journal.records)
            honest = ring.world.new_request(order_id=request.client_order_id if fields.get("quantity") else 0)
            answers = ring.write(honest, **fields)
            if len(ring.sent()) == sent and fields.get("request_type") != RequestType.RECOVER:
                assert answers or len(ring.world.journal.records) > journaled, "held, or told why not"
        for one in ring.sent()[before:]:
            check_sent(ring.world, one)
        for instrument in (BTC, ETH):
            totals = ring.world.store.totals(instrument.id)
            assert max(totals.buy, totals.sell) <= LIMITS.max_position[instrument.id]
        assert ring.world.fence.accepted < 2**16
    finally:
        ring.close()


def check_sent(world: World, request: OrderRequest) -> None:
    """What a request that left must be, whatever was asked for."""
    kind = request.request_type
    assert request.epoch == EPOCH
    if kind == RequestType.CANCEL_ALL:
        return
    assert request.client_order_id >> 63 and request.client_order_id >> 56 & 0x7F == INSTANCE
    instrument = world.instruments.by_id(request.instrument_id)
    assert instrument is not None
    if kind not in (RequestType.NEW, RequestType.REPLACE):
        assert kind in (RequestType.CANCEL, RequestType.QUERY)
        return
    Side(request.side), OrderType(request.order_type), TimeInForce(request.time_in_force)
    assert 0 < request.quantity <= LIMITS.max_order_quantity[instrument.id]
    assert 0 < request.deadline_ns - world.now <= 61 * SECOND
    if request.order_type == OrderType.LIMIT:
        assert request.price % instrument.tick_size == 0
        assert abs(request.price / 100 - MID[instrument.id]) <= 0.1001 * MID[instrument.id]


def test_the_table_of_forgeries_names_every_field_that_decides(ring: Ring) -> None:
    tried = {name for _, fields, _ in FORGED_NEW for name in fields}
    assert tried >= {
        "client_order_id", "deadline_ns", "epoch", "exec_flags", "instrument_id", "order_type", "price", "quantity",
        "request_id", "request_type", "side", "time_in_force",
    }  # fmt: skip
