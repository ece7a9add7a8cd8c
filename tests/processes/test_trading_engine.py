"""The trading engine as a process of its own: rings and tables on one side, the venue's protocol on the other."""

from __future__ import annotations

import asyncio
import signal

import pytest

from exchanges.binance.simulator import SimulatorServer
from exchanges.simulator.orders import Order
from processes.control import ask
from processes.exit_codes import ExitCode
from shm.journal import read_journal
from shm.layout import EventType, OrderState, ProcessState, Reason, RecordKind, RequestType, Word, client_order_id
from tests.exchanges.binance.simulator_client import Client, top
from tests.processes.engine_place import NUMBER, STRATEGY, Places

E = EventType


def open_at_venue(server: SimulatorServer) -> list[str]:
    return [order.client_order_id for order in server.exchange.open_orders(next(iter(server.exchange.accounts)))]


@pytest.mark.parametrize("wait", ["doorbell", "yield"])
async def test_it_serves_a_trader_from_start_to_stop(
    places: Places, market: tuple[SimulatorServer, Client], wait: str
) -> None:
    place = places(wait=wait, on_start="cancel")
    engine = await place.recovered()
    assert place.row().accepted_trader_epoch == place.epoch
    resting, taking = place.new(), place.new(price=6_180_010, quantity=5)
    accepted = await place.wait_for(resting, E.ACCEPTED)
    assert accepted.request_sequence > 1
    assert accepted.request_poll_time_ns >= accepted.request_publish_time_ns > 0
    assert accepted.send_time_ns >= accepted.request_poll_time_ns
    fill = await place.wait_for(taking, E.FILL)
    assert (fill.last_quantity, fill.order_state) == (5, OrderState.FILLED)
    engine.send_signal(signal.SIGTERM)
    assert await engine.wait() == ExitCode.OK
    await place.until(lambda: E.CANCELED in place.kinds(resting))
    assert open_at_venue(market[0]) == []
    assert place.row().state == ProcessState.STOPPED
    journaled = list(read_journal(place.instance.journal_path("binance")))
    told = [event for event in place.events if event.kind == RecordKind.ORDER_EVENT]
    kept = [record for record in journaled if record.kind == RecordKind.ORDER_EVENT]
    assert [(e.client_order_id, e.event_type) for e in told] == [(e.client_order_id, e.event_type) for e in kept]
    counts = place.counters()
    assert (counts["requests"], counts["accepted"], counts["fills"], counts["canceled"]) == (3, 2, 1, 1)


async def test_a_killed_engine_comes_back_knowing_everything(
    places: Places, market: tuple[SimulatorServer, Client]
) -> None:
    server, _ = market
    place = places()
    engine = await place.recovered()
    resting = place.new(price=6_180_000, quantity=4)
    await place.wait_for(resting, E.ACCEPTED)
    engine.kill()
    await engine.wait()
    never_sent = place.new()
    cancel = place.publish(RequestType.CANCEL, resting)
    server.deliver(top("61799.90", "3", "61800.00", "5", 2_000))  # fills us while the engine is dead
    await place.ready()
    refused = await place.wait_for(never_sent, E.REJECTED)
    assert refused.reason == Reason.NOT_SENT
    answer = await place.wait_for(resting, E.CANCEL_REJECTED)
    assert (answer.reason, answer.request_id) == (Reason.NOT_SENT, cancel.request_id)
    fill = await place.wait_for(resting, E.FILL)
    assert (fill.last_quantity, fill.parts, fill.order_state) == (4, 3, OrderState.FILLED)
    assert str(never_sent) not in [order.client_order_id for order in all_orders(server)]
    assert place.row().accepted_trader_epoch == place.epoch, "the accepted epoch survives"
    again = place.new()
    await place.wait_for(again, E.ACCEPTED)


async def test_a_request_in_flight_when_the_engine_dies_is_settled_after_the_restart(
    places: Places, market: tuple[SimulatorServer, Client]
) -> None:
    _, client = market
    place = places()
    engine = await place.recovered()
    slow = {"kind": "delay_reply", "path": "/order", "method": "POST", "delay_ms": 5_000}
    silent = {"kind": "silence", "route": "private"}
    for fault in (slow, silent):
        assert (await client.admin("POST", "/admin/fault", fault))[0] == 200
    order_id = place.new(price=6_180_010, quantity=5)
    await place.until(lambda: str(order_id) in {o.client_order_id for o in all_orders(market[0])})
    engine.kill()
    await engine.wait()
    place.poll()
    assert not {E.ACCEPTED, E.FILL} & set(place.kinds(order_id)), "the engine died without knowing"
    await place.ready()
    await place.until(lambda: any(e.order_state == OrderState.FILLED for e in place.told(order_id)))
    kinds = [kind for kind in place.kinds(order_id) if kind not in (E.SENT, E.STATUS)]
    assert kinds == [E.UNKNOWN, E.ACCEPTED, E.FILL]


def all_orders(server: SimulatorServer) -> list[Order]:
    return [order for account in server.exchange.accounts for order in server.exchange.orders_of(account)]


async def test_a_silent_trader_loses_its_orders_and_nobody_else_does(
    places: Places, market: tuple[SimulatorServer, Client]
) -> None:
    server, client = market
    place = places()
    await place.recovered()
    assert (await client.order("BUY", "0.010", "61799.50", newClientOrderId="somebody-else"))[0] == 200
    orders = [place.new() for _ in range(3)]
    for order_id in orders:
        await place.wait_for(order_id, E.ACCEPTED)
    place.trader_alive = False
    for order_id in orders:
        await place.wait_for(order_id, E.CANCELED)
    assert open_at_venue(server) == ["somebody-else"]
    assert place.counters()["heartbeat_lost"] == 1


async def test_the_kill_switch_pulls_refuses_and_is_echoed(
    places: Places, market: tuple[SimulatorServer, Client]
) -> None:
    place = places()
    await place.recovered()
    order_id = place.new()
    await place.wait_for(order_id, E.ACCEPTED)
    place.words.store(Word.KILL_SWITCH, 1)
    await place.wait_for(order_id, E.CANCELED)
    await place.until(lambda: place.row().kill_switch_echo == 1)
    refused = await place.wait_for(place.new(), E.REJECTED)
    assert refused.reason == Reason.KILL_SWITCH
    server, client = market
    for counter in range(3):  # the last one comes when the look that verifies is long over
        late = client_order_id(NUMBER, STRATEGY, place.epoch, 1_000 + counter)
        assert (await client.order("BUY", "0.010", "61799.50", newClientOrderId=str(late)))[0] == 200
        await place.wait_for(late, E.CANCELED)
    assert open_at_venue(server) == []
    place.words.store(Word.KILL_SWITCH, 2)
    await place.until(lambda: place.row().kill_switch_echo == 2)
    await place.wait_for(place.new(), E.ACCEPTED)


async def test_a_gate_that_trips_is_seen_at_once_until_a_person_resets_it(
    places: Places, market: tuple[SimulatorServer, Client]
) -> None:
    place = places()
    await place.recovered()
    assert (place.row().state, place.row().text) == (ProcessState.READY, b"")
    _, client = market
    for _ in range(2):  # by hand, on this account: together beyond the limit of 5
        assert (await client.order("BUY", "3", "61900.00", newClientOrderId=""))[0] == 200
    await place.until(lambda: b"is beyond its limit" in place.row().text)
    assert place.row().state == ProcessState.READY
    refused = await place.wait_for(place.new(), E.REJECTED)
    assert refused.reason == Reason.RISK_POSITION
    answer = await asyncio.to_thread(ask, place.instance.run_dir, "trading_engine.binance", "risk-reset")
    assert answer == {"state": "ACTIVE"}


async def test_an_event_ring_that_nobody_reads_ends_in_resync_and_recovery(places: Places) -> None:
    place = places(event_slots=64)
    await place.recovered()
    poll, place.poll = place.poll, lambda: None  # type: ignore[method-assign]
    for _ in range(40):
        place.new(price=6_180_010, quantity=1)
    await place.until(lambda: place.words.load(Word.RESYNC_BINANCE) == 1)
    place.poll = poll  # type: ignore[method-assign]
    place.poll()
    refused = await place.wait_for(place.new(), E.REJECTED)
    assert refused.reason == Reason.RESYNC
    place.epoch -= 1  # the same trader asks again
    await place.recover()
    await place.until(lambda: place.words.load(Word.RESYNC_BINANCE) == 0)
    # What the ring lost came with the bracket; fills of orders still under way may come after it.
    await place.until(
        lambda: (
            len({e.trade_id for e in place.events if e.kind == RecordKind.ORDER_EVENT and e.event_type == E.FILL})
            == place.counters()["fills"]
        )
    )
    await place.wait_for(place.new(), E.ACCEPTED)


async def test_an_older_trader_is_refused_by_the_fence(places: Places) -> None:
    place = places()
    await place.recovered()
    await place.recover()
    place.epoch -= 1
    refused = await place.wait_for(place.new(), E.REJECTED)
    assert refused.reason == Reason.STALE_EPOCH
    assert place.counters()["stale_epoch"] == 1


async def test_orders_of_before_are_pulled_where_so_configured(
    places: Places, market: tuple[SimulatorServer, Client]
) -> None:
    place = places(on_start="cancel")
    engine = await place.recovered()
    order_id = place.new()
    await place.wait_for(order_id, E.ACCEPTED)
    engine.kill()
    await engine.wait()
    await place.ready()
    await place.until(lambda: any(e.order_state == OrderState.CANCELED for e in place.told(order_id)))
    assert open_at_venue(market[0]) == []


async def test_a_wrong_key_ends_it_with_a_sentence_and_its_own_code(places: Places) -> None:
    place = places(credentials='credentials = "bad"')
    engine = await place.start(CORELANE_BAD_API_KEY="nobody", CORELANE_BAD_SECRET="nothing-at-all")
    assert await engine.wait() == ExitCode.CREDENTIALS
    words = await place.errors()
    assert "venue refused" in words
    assert "Traceback" not in words
    assert "nothing-at-all" not in words
    assert place.row().state == ProcessState.FAILED


async def test_an_unreachable_venue_is_tried_again_with_clear_words(places: Places) -> None:
    place = places(rest="http://127.0.0.1:9")
    engine = await place.start()
    await place.until(lambda: place.row().state == ProcessState.UNHEALTHY)
    assert b"cannot be reached" in place.row().text
    engine.send_signal(signal.SIGTERM)
    assert await engine.wait() == ExitCode.OK


async def test_a_second_copy_is_refused(places: Places) -> None:
    place = places()
    await place.ready()
    second = await place.start()
    assert await second.wait() == ExitCode.ALREADY_RUNNING
    assert "already runs" in await place.errors()


async def test_the_doorbell_wakes_it_so_that_the_tick_finds_nothing(places: Places) -> None:
    place = places(wait="doorbell")
    await place.recovered()
    for _ in range(50):
        order_id = place.new()
        await place.wait_for(order_id, E.ACCEPTED)
        place.publish(RequestType.CANCEL, order_id)
        await place.wait_for(order_id, E.CANCELED)
    counts = place.counters()
    assert counts["requests"] == 101
    assert counts["requests_found_by_tick"] <= 10
