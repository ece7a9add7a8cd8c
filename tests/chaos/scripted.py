"""A strategy that does exactly what the harness says, and writes down what it is told about its orders.

Loaded by file path into the real trader. A parameter `step` that has not been seen yet is the command; `told` is a file
that gets one JSON line for each on_order and on_error. It never acts by itself.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from shm.clock import monotonic_ns
from shm.layout import OrderState, Reason
from strategy.abstract_strategy import AbstractStrategy

if TYPE_CHECKING:
    from strategy.order import Order
    from strategy.refusal import Refusal

LOOK_S = 0.01


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    told: str
    step: int = 0
    action: str = ""
    side: str = "buy"
    price: float = 0.0
    quantity: float = 0.0
    count: int = 1


class Scripted(AbstractStrategy):
    Parameters = Parameters

    def on_start(self) -> None:
        self._done = self._seen = self.parameters.step
        self.set_timer(LOOK_S, "look", repeat=True)

    def on_timer(self, name: str) -> None:
        wanted = self.parameters
        if wanted.step == self._done:
            return
        if wanted.step != self._seen:
            self._seen = wanted.step  # at the next look: the command's answer is out before this process is held
            return
        self._done = wanted.step
        Path(f"{wanted.told}.step").write_text(str(wanted.step))
        if wanted.action == "new":
            act = self.buy if wanted.side == "buy" else self.sell
            for _ in range(wanted.count):
                self._write(act(self.instruments[0], wanted.price, wanted.quantity), "asked")
        elif wanted.action == "cancel":
            for order in list(self.orders):
                self.cancel(order)
        elif wanted.action == "replace":
            for order in list(self.orders):
                self.replace(order, price=wanted.price)

    def on_order(self, order: Order) -> None:
        self._write(order, "told")

    def on_error(self, refusal: Refusal) -> None:
        self._line(what="refusal", reason=Reason(refusal.reason).name, text=refusal.text)

    def _write(self, order: Order, what: str) -> None:
        self._line(
            what=what,
            id=order.client_order_id,
            state=OrderState(order.state).name,
            reason=Reason(order.reason).name,
            filled=order.filled_mantissa,
            text=order.text,
        )

    def _line(self, **fields: Any) -> None:
        with open(self.parameters.told, "a") as file:  # noqa: PTH123 - the shortest way to append
            file.write(json.dumps({"time_ns": monotonic_ns(), "clock": time.time(), **fields}) + "\n")
