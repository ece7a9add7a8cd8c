"""A wish of a strategy that was not carried out, with its Reason and one sentence; made by the runner for on_error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shm.layout import Reason

if TYPE_CHECKING:
    from strategy.order import Order


@dataclass(frozen=True, slots=True)
class Refusal:
    """`order` is the one that the cancel or replace was about; None where it is about the strategy as a whole."""

    reason: Reason
    text: str
    order: Order | None = None
