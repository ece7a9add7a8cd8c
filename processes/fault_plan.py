"""A seeded plan of faults for the demo: what breaks on the wire, which process dies, and when.

The rule: the plan is made whole before the first fault strikes, so a seed repeats it; nothing is injected behind the
back of the report. Wire faults are armed through the simulator's admin endpoint, which counts them where they strike;
deaths are SIGKILL to a process of the supervisor, which starts it again. In the report "with_order_in_flight" means for
a wire fault that an order request was being handled when it struck, for a death that an own order was not over.

Kinds are dealt like cards, so that a run of a minute has each of them: at order requests, at the private stream, at the
public ones. What strikes a stream waits for an order request more often than not, because that is where it hurts. Bans
are short (a real one, two minutes, outlasts a run), and `rejected_signature` strikes orders only (a key that is wrong
everywhere ends a process for good, by design).

Called by `demo.py`; deaths and wire faults one by one are the business of tests/chaos.
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

PLANS: Final = ("none", "random", "trader")
ROLES: Final = ("market_server", "trading_engine", "position_server", "trader")
"""The processes that are killed; the simulator is the venue and stays."""
FIRST_S: Final = 2.0
FIRST_DEATH_S: Final = 4.0
QUIET_AT_END: Final = 0.1
"""Share of the run without new faults at its end, so that the last ones are over before the books are closed."""
WIRE_EVERY_S: Final = 1.2
DEATH_EVERY_S: Final = 9.0
TRADER_DEATHS: Final = ((0.2, 0.4), (0.55, 0.75))
"""When the trader dies in the plan "trader", as shares of the run: twice, each time with room to recover."""

ORDER_PATH: Final = "/fapi/v1/order"
_ON_ORDERS: Final[tuple[tuple[str, int, int], ...]] = (
    ("unknown_executed", 0, 0),
    ("unknown_not_executed", 0, 0),
    ("http_503_unknown_executed", 0, 0),
    ("http_503_unknown_not_executed", 0, 0),
    ("drop_reply", 0, 0),
    ("delay_reply", 300, 2_500),
    ("http_503_unavailable", 0, 0),
    ("http_503_internal", 0, 0),
    ("http_503_throttled", 0, 0),
    ("halted_instrument", 0, 0),
    ("rejected_signature", 0, 0),
    ("rejected_timestamp", 0, 0),
    ("delay_request", 300, 2_500),
    ("http_429", 500, 2_000),
    ("http_418", 500, 2_000),
)
"""(kind, least and greatest delay in ms) of faults that strike an order request."""
_ON_USER_STREAM: Final[tuple[tuple[str, int, int], ...]] = (
    ("disconnect", 0, 0),
    ("silence", 200, 2_000),
    ("delay", 100, 1_000),
    ("duplicate", 0, 0),
    ("reorder", 0, 0),
    ("malformed_frame", 0, 0),
    ("listen_key_expired", 0, 0),
)
_ON_MARKET_STREAMS: Final[tuple[tuple[str, int, int], ...]] = (
    ("disconnect", 0, 0),
    ("silence", 200, 2_000),
    ("delay", 100, 1_000),
    ("duplicate", 0, 0),
    ("reorder", 0, 0),
    ("sequence_gap", 0, 0),
    ("malformed_frame", 0, 0),
)
_DECK: Final = (
    *(("order", *one) for one in _ON_ORDERS),
    *(("user", *one) for one in _ON_USER_STREAM),
    *(("@", *one) for one in _ON_MARKET_STREAMS),
)
METHODS: Final = ("POST", "DELETE")
WITH_ORDER_SHARE: Final = 0.7
"""Of the faults at streams."""


_DERIBIT_KINDS: Final = {
    "http_503_unknown_executed": "internal_error_executed",
    "http_503_unknown_not_executed": "internal_error_not_executed",
    "http_503_unavailable": "queue_full",
    "http_503_internal": "retry",
    "http_503_throttled": "queue_full",
    "rejected_signature": "token_expired",
    "rejected_timestamp": "timed_out",
    "delay_request": "delay_reply",
    "http_429": "rate_limit",
    "http_418": "rate_limit",
    "listen_key_expired": "token_expired",
}
"""What comes closest on a venue of JSON-RPC; kinds that both know are not listed."""
_DERIBIT_PATHS: Final = {"POST": "private/", "DELETE": "private/cancel"}

_GRVT_KINDS: Final = {"http_418": "http_429", "listen_key_expired": "cookie_expired"}
"""The same for a venue that bans nobody, and logs in with a cookie."""
_GRVT_CREATES: Final = ("rejected_signature", "rejected_timestamp", "halted_instrument")
"""Nothing but a create is signed there, or opens anything."""
_GRVT_PATHS: Final = {"POST": "v1/create_order", "DELETE": "v1/cancel_order"}
_GRVT_USER_STREAMS: Final = "v1.order"
"""Where its orders are told."""


@dataclass(frozen=True)
class WireFault:
    """To be armed `at_s` seconds after trading began, at every venue's simulator."""

    at_s: float
    fault: Mapping[str, Any]


@dataclass(frozen=True)
class Death:
    """kill -9 of one process of this role."""

    at_s: float
    role: str


def plan(seed: int, seconds: float, name: str = "random") -> list[WireFault | Death]:
    """All faults of a run, by time.

    Plan "random": each role dies about equally often, in a random order; plan "trader": the trader dies twice.
    """
    chance = random.Random(f"faults {seed}")
    end_s = seconds * (1 - QUIET_AT_END)
    planned: list[WireFault | Death] = []
    at_s, deck = FIRST_S, list[tuple[str, str, int, int]]()
    while at_s < end_s:
        if not deck:
            deck = chance.sample(_DECK, len(_DECK))
        planned.append(WireFault(at_s, _wire_fault(chance, *deck.pop())))
        at_s += WIRE_EVERY_S * chance.uniform(0.5, 1.5)
    if name == "trader":
        planned += [Death(seconds * chance.uniform(*shares), "trader") for shares in TRADER_DEATHS]
    else:
        planned += _random_deaths(chance, end_s)
    return sorted(planned, key=lambda one: one.at_s)


def _random_deaths(chance: random.Random, end_s: float) -> list[Death]:
    deaths: list[Death] = []
    at_s, waiting = FIRST_DEATH_S, list[str]()
    while at_s < end_s:
        if not waiting:
            waiting = chance.sample(ROLES, len(ROLES))
        deaths.append(Death(at_s, waiting.pop()))
        at_s += DEATH_EVERY_S * chance.uniform(0.6, 1.4)
    return deaths


def _wire_fault(chance: random.Random, where: str, kind: str, least_ms: int, greatest_ms: int) -> dict[str, Any]:
    """`where` is "order" or what the names of the struck streams contain."""
    fault: dict[str, Any] = {"kind": kind}
    if where == "order":
        fault |= {"path": ORDER_PATH, "method": chance.choice(METHODS)}
    else:
        if kind != "listen_key_expired":
            fault["stream"] = where
        if chance.random() < WITH_ORDER_SHARE:
            fault["with_order"] = True
    if greatest_ms:
        fault["delay_ms"] = chance.randint(least_ms, greatest_ms)
    return fault


def at_venue(venue: str, fault: Mapping[str, Any]) -> dict[str, Any]:
    """The fault in the words of that venue's simulator."""
    if venue == "grvt":
        return _at_grvt(fault)
    if venue != "deribit":
        return dict(fault)
    kind = _DERIBIT_KINDS.get(fault["kind"], fault["kind"])
    found = {name: value for name, value in fault.items() if name not in ("path", "method", "stream")} | {"kind": kind}
    if "method" in fault and kind != "token_expired":
        found["path"] = _DERIBIT_PATHS[fault["method"]]
    if "stream" in fault:
        found["stream"] = "user." if fault["stream"] == "user" else "book."
    return found


def _at_grvt(fault: Mapping[str, Any]) -> dict[str, Any]:
    kind = _GRVT_KINDS.get(fault["kind"], fault["kind"])
    found = {name: value for name, value in fault.items() if name not in ("path", "method")} | {"kind": kind}
    if "method" in fault:
        found["path"] = _GRVT_PATHS["POST" if kind in _GRVT_CREATES else fault["method"]]
    if found.get("stream") == "user":
        found["stream"] = _GRVT_USER_STREAMS
    return found


class FaultRunner:
    """Carries a plan out: call `poll` several times a second and `stop` when trading ends."""

    def __init__(
        self,
        planned: list[WireFault | Death],
        *,
        arm: Callable[[Mapping[str, Any]], None],
        disarm: Callable[[], None],
        pids: Callable[[str], list[int]],
        order_in_flight: Callable[[], bool],
        kill: Callable[[int, int], None] = os.kill,
    ) -> None:
        """arm, disarm: at all simulators. pids: the living processes of a role."""
        self._waiting = list(planned)
        self._arm, self._disarm, self._pids, self._kill = arm, disarm, pids, kill
        self._order_in_flight = order_in_flight
        self._deaths: Counter[str] = Counter()
        self._deaths_in_flight: Counter[str] = Counter()

    def poll(self, elapsed_s: float) -> None:
        """Do what is due."""
        while self._waiting and self._waiting[0].at_s <= elapsed_s:
            due = self._waiting.pop(0)
            if isinstance(due, WireFault):
                self._arm(due.fault)
            else:
                self._let_die(due.role)

    def stop(self) -> None:
        """Nothing strikes from now on."""
        self._waiting.clear()
        self._disarm()

    def _let_die(self, role: str) -> None:
        in_flight = self._order_in_flight()
        for pid in self._pids(role):
            self._kill(pid, signal.SIGKILL)
            self._deaths[role] += 1
            self._deaths_in_flight[role] += in_flight

    def deaths(self) -> dict[str, dict[str, int]]:
        """{"kill_<role>": {"injected": n, "with_order_in_flight": n}}."""
        return {
            f"kill_{role}": {"injected": count, "with_order_in_flight": self._deaths_in_flight[role]}
            for role, count in sorted(self._deaths.items())
        }
