"""What happened to some orders, by time: requests, events and the venue's messages. Printed where a cell is red."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from shm.clock import monotonic_ns
from shm.layout import EventType, OrderState, Reason, RecordKind, RecoveryPhase, RequestType
from tests.chaos.place import Place

LINES = 60


def tell(place: Place, orders: tuple[int, ...], since_ns: int) -> str:
    """`orders` empty: everything since then (CLOCK_MONOTONIC ns)."""
    offset = time.time_ns() - monotonic_ns()
    lines: list[tuple[int, str]] = []
    for record in place.journal():
        if record.kind == RecordKind.RECOVERY:
            if record.phase and record.publish_time_ns >= since_ns:
                text = f"engine   Recovery {RecoveryPhase(record.phase).name} nonce {record.nonce}"
                lines.append((record.publish_time_ns + offset, text))
            continue
        if orders and record.client_order_id not in orders:
            continue
        if record.publish_time_ns < since_ns:
            continue
        if record.kind == RecordKind.ORDER_REQUEST:
            text = (
                f"request  {RequestType(record.request_type).name} {record.client_order_id} "
                f"{record.quantity}@{record.price} id {record.request_id}"
            )
        else:
            said = record.text.decode("utf-8", "replace")
            text = (
                f"event    {EventType(record.event_type).name} {record.client_order_id} "
                f"{OrderState(record.order_state).name} {Reason(record.reason).name} filled "
                f"{record.cumulative_quantity} trade {record.trade_id.decode()} {said}"
            )
        lines.append((record.publish_time_ns + offset, text))
    for line in place.told_lines():
        if line["time_ns"] >= since_ns and (not orders or line.get("id") in orders):
            lines.append((line["time_ns"] + offset, f"strategy {line}"))
    abouts = [str(order) for order in orders] or [place.venue.symbol]
    for about in abouts:
        for message in place.admin("GET", f"/admin/messages?about={about}")["messages"]:
            if message["time_ns"] >= since_ns + offset:
                lines.append((message["time_ns"], f"venue    {message['kind']} {message['text'][:300]}"))
    lines.sort()
    shown = lines[-LINES:]
    return "\n".join(f"  {datetime.fromtimestamp(at / 1e9, UTC):%H:%M:%S.%f} {text}" for at, text in shown)
