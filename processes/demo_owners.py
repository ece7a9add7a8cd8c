"""Who stands behind each order at the venue: no order without an owner, no order of a trader that was dead.

The rule: the orders, when they came, and in which sequence, are the venue's own word, from its ledger. Our side gives
only what an order may be: the strategies of the config, and from when on the engine served each trader epoch (the BEGIN
of the recovery that the trader of that epoch had asked for, from the engine's journal). An order of an epoch that came
after the next one was served, or behind an order of a later epoch, is a request of a dead epoch that was executed.

Called by the demo.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shm.layout import RecordKind, RecoveryPhase, epoch_of, instance_of, strategy_of


@dataclass(frozen=True)
class VenueOrder:
    """One order of the venue's ledger."""

    order_id: int
    """The venue's own, which rises with each order it takes."""
    client_order_id: str
    create_ms: int
    """The venue's clock, UTC."""


@dataclass
class Owners:
    """The answer; the lists hold client order ids."""

    orders: int = 0
    by_epoch: dict[int, int] = field(default_factory=dict)
    without_owner: list[str] = field(default_factory=list)
    of_dead_epochs: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not self.without_owner and not self.of_dead_epochs

    def in_words(self) -> list[str]:
        """Lines of the report."""
        epochs = len(self.by_epoch)
        lines = [
            f"  owners: {self.orders} orders at the venue, {len(self.without_owner)} without an owner; "
            f"{epochs} trader epoch{'s' if epochs != 1 else ''}, "
            f"{len(self.of_dead_epochs)} orders of a dead epoch executed"
        ]
        for label, ids in (("without an owner", self.without_owner), ("of a dead epoch", self.of_dead_epochs)):
            if ids:
                lines.append(f"    {label}: {', '.join(ids[:5])}")
        return lines


def served_epochs(records: Iterable[Any], utc_offset_ns: int) -> dict[int, int]:
    """Trader epoch -> since when the engine served it, UTC ms. `utc_offset_ns`: UTC minus the records' clock."""
    since: dict[int, int] = {}
    for record in records:
        if record.kind == RecordKind.RECOVERY and record.phase == RecoveryPhase.BEGIN and record.nonce:
            epoch = record.nonce >> 32  # request ids begin at epoch << 32
            since.setdefault(epoch, (record.publish_time_ns + utc_offset_ns) // 1_000_000)
    return since


def check(
    orders: Iterable[VenueOrder], instance: int, strategies: Collection[int], served: Mapping[int, int]
) -> Owners:
    """Put the venue's orders beside what they may be."""
    found = Owners()
    counts: Counter[int] = Counter()
    newest = 0
    for order in sorted(orders, key=lambda one: one.order_id):
        found.orders += 1
        number = int(order.client_order_id) if order.client_order_id.isdecimal() else 0
        epoch = epoch_of(number)
        if instance_of(number) != instance or strategy_of(number) not in strategies or epoch not in served:
            found.without_owner.append(order.client_order_id)
            continue
        counts[epoch] += 1
        next_began = min((began for later, began in served.items() if later > epoch), default=None)
        if epoch < newest or (next_began is not None and order.create_ms > next_began):
            found.of_dead_epochs.append(order.client_order_id)
        newest = max(newest, epoch)
    found.by_epoch = dict(sorted(counts.items()))
    return found
