"""A snapshot as Prometheus metrics, in the text format.

The rule: names by Prometheus' conventions (`corelane_`, base units, `_total` where it only rises); every counter of a
process is corelane_<its name>_total{process} and every histogram corelane_<its name>_seconds{process}, a stage of the
trader's trace corelane_trace_<stage>_seconds{process,venue}. Labels have values from the config (processes, venues,
instruments, strategies), from the lists of the code (rules, states) and from the host's table of limits, so their
number is bounded; orders, fills and texts never become labels. What is not known is left out, never 0. Called by
`monitor_http.py`; no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from processes.health import Problem
from processes.health_rules import SEVERITIES
from processes.hop_view import BOUNDS_NS
from processes.snapshot import HistogramLine, Snapshot
from shm.layout import ProcessState
from strategy.strategy_runner import RunnerState

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_NAME: Final = re.compile(r"^[a-z][a-z0-9_]*$")
"""What a counter must be called to become part of a metric's name."""
_BOUNDS: Final = [f"{bound / 1e9:g}" for bound in BOUNDS_NS]

_Labels = TypeVar("_Labels", bound=tuple[str, ...])
"""Values, in the order of a family's names."""


def exposition(snapshot: Snapshot, problems: Iterable[Problem]) -> bytes:
    """All metrics, as `GET /metrics` answers them with CONTENT_TYPE."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected([*_metrics(snapshot), _problems(problems)]))
    return generate_latest(registry)


class _Collected(Collector):
    """What the library asks."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _metrics(snapshot: Snapshot) -> Iterator[Metric]:
    yield _gauge("corelane_kill_switch_on", "1: no order is sent.", {(): float(snapshot.kill_switch.on)})
    obeyed = {(engine,): float(obeys) for engine, obeys in snapshot.kill_switch.obeyed_by.items()}
    yield _gauge("corelane_kill_switch_obeyed", "1: the engine has confirmed the newest word.", obeyed, "process")
    yield from _processes(snapshot)
    yield from _books(snapshot)
    yield from _positions(snapshot)
    yield from _rings(snapshot)
    yield from _budgets(snapshot)
    yield from _strategies(snapshot)
    yield from _counters(snapshot.counters)
    yield from _histograms(snapshot.histograms)


def _processes(snapshot: Snapshot) -> Iterator[Metric]:
    lines = [line for line in snapshot.processes if line.pid]
    ages = {(line.name,): line.age_ms / 1e3 for line in lines}
    yield _gauge("corelane_process_heartbeat_age_seconds", "Since its last heartbeat.", ages, "process")
    uptimes = {(line.name,): line.uptime_s for line in lines}
    yield _gauge("corelane_process_uptime_seconds", "From its start to its last heartbeat.", uptimes, "process")
    states = {
        (line.name, state.name): float(line.state == state.name)
        for line in snapshot.processes
        for state in ProcessState
    }
    yield _gauge("corelane_process_state", "1 for the state that it is in.", states, "process", "state")
    restarts = {(line.name,): float(line.restarts) for line in lines}
    yield _counter("corelane_process_restarts", "Times that its supervisor started it again.", restarts, "process")
    links = {
        (line.name, str(number)): float(link.state == "UP")
        for line in lines
        for number, link in enumerate(line.connections, 1)
    }
    yield _gauge("corelane_connection_up", "1 while the link carries data.", links, "process", "connection")


def _books(snapshot: Snapshot) -> Iterator[Metric]:
    markets = {(venue.name, market.symbol): market for _, venue, market in snapshot.markets()}
    names = ("venue", "instrument")
    valid = {key: float(line.valid) for key, line in markets.items()}
    yield _gauge("corelane_book_valid", "0: withdrawn, nothing quotes on it.", valid, *names)
    ages = {key: line.age_ms / 1e3 for key, line in markets.items() if line.age_ms is not None}
    yield _gauge("corelane_book_frame_age_seconds", "Since the newest frame of its book.", ages, *names)
    for side in ("bid", "ask"):
        prices = {key: getattr(line, side) for key, line in markets.items() if line.valid}
        yield _gauge(f"corelane_best_{side}_price", f"Best {side} of the book.", prices, *names)
    marks = {key: line.mark for key, line in markets.items() if line.mark is not None}
    yield _gauge("corelane_mark_price", "As the venue says.", marks, *names)


def _positions(snapshot: Snapshot) -> Iterator[Metric]:
    held = {
        (venue.name, market.symbol): market.position
        for _, venue, market in snapshot.markets()
        if market.position is not None
    }
    text = "Net position as the venue says, in its quantity unit."
    yield _gauge("corelane_venue_position", text, held, "venue", "instrument")
    told = {
        (venue.name, market.symbol): market.position_age_ms / 1e3
        for _, venue, market in snapshot.markets()
        if market.position_age_ms is not None
    }
    yield _gauge("corelane_venue_position_age_seconds", "Since the venue told it.", told, "venue", "instrument")
    balances = {(venue.name, line.currency): line for venue in snapshot.venues for line in venue.balances}
    for field in ("wallet", "available"):
        values = {key: float(getattr(line, field)) for key, line in balances.items()}
        yield _gauge(f"corelane_{field}_balance", "In the currency.", values, "venue", "currency")
    ages = {key: line.age_ms / 1e3 for key, line in balances.items()}
    yield _gauge("corelane_balance_age_seconds", "Since the venue told it.", ages, "venue", "currency")
    opened = {(venue.name,): float(len(venue.orders)) for venue in snapshot.venues}
    yield _gauge("corelane_open_orders", "Own orders that are not over.", opened, "venue")
    unknown = {(venue.name,): float(sum(order.unknown for order in venue.orders)) for venue in snapshot.venues}
    yield _gauge("corelane_unknown_orders", "Own orders with a request of unknown outcome.", unknown, "venue")


def _rings(snapshot: Snapshot) -> Iterator[Metric]:
    rings = {(ring.name,): ring for venue in snapshot.venues for ring in venue.rings}
    published = {key: float(ring.published) for key, ring in rings.items()}
    yield _counter("corelane_ring_records", "Records that were published.", published, "ring")
    depths = {key: float(ring.depth) for key, ring in rings.items() if ring.depth is not None}
    yield _gauge("corelane_ring_depth_records", "Records that wait for their consumer.", depths, "ring")
    capacities = {key: float(ring.capacity) for key, ring in rings.items()}
    yield _gauge("corelane_ring_capacity_records", "Slots.", capacities, "ring")


def _budgets(snapshot: Snapshot) -> Iterator[Metric]:
    budgets = {(venue.name, budget.name): budget for venue in snapshot.venues for budget in venue.budgets or ()}
    used = {key: float(budget.used) for key, budget in budgets.items()}
    yield _gauge("corelane_rate_limit_used", "Units of a limit in use now.", used, "venue", "limit")
    limits = {key: float(budget.limit) for key, budget in budgets.items() if budget.limit}
    yield _gauge("corelane_rate_limit_units", "Units that the venue allows.", limits, "venue", "limit")
    closed = {key: budget.closed_s for key, budget in budgets.items()}
    yield _gauge("corelane_rate_limit_closed_seconds", "How long nothing may be sent.", closed, "venue", "limit")


def _strategies(snapshot: Snapshot) -> Iterator[Metric]:
    lines = {(line.name, line.instrument): line for line in snapshot.strategies}
    names = ("strategy", "instrument")
    states = {
        (*key, state.name): float(line.state == state.name) for key, line in lines.items() for state in RunnerState
    }
    yield _gauge("corelane_strategy_state", "1 for the state that it is in.", states, *names, "state")
    for field, text in (
        ("position", "Net position, in the venue's quantity unit."),
        ("open_orders", "Orders that are open."),
        ("realized_pnl", "In the settle currency, fees not taken off."),
        ("unrealized_pnl", "At the mark price, in the settle currency."),
        ("fees", "Paid so far, in the settle currency."),
    ):
        values = {key: getattr(line, field) for key, line in lines.items()}
        known = {key: float(value) for key, value in values.items() if value is not None}
        yield _gauge(f"corelane_strategy_{field}", text, known, *names)
    fills = {key: float(line.fills) for key, line in lines.items()}
    yield _counter("corelane_strategy_fills", "Fills.", fills, *names)


def _counters(counters: Mapping[str, Mapping[str, int]]) -> Iterator[Metric]:
    by_name: dict[str, dict[tuple[str], float]] = {}
    for process, values in counters.items():
        for name, value in values.items():
            if _NAME.match(name):
                by_name.setdefault(name, {})[process,] = float(value)
    for name, by_process in by_name.items():
        yield _counter(f"corelane_{name}", f"{name.replace('_', ' ')}, as the process counts.", by_process, "process")


def _histograms(lines: Iterable[HistogramLine]) -> Iterator[Metric]:
    """Those of a process by its name; stages of whole orders ("binance.fill.apply") by their venue too."""
    families: dict[str, HistogramMetricFamily] = {}
    for line in lines:
        venue, _, stage = line.name.partition(".")
        name = f"trace_{stage.replace('.', '_')}" if stage else line.name
        if not _NAME.match(name):
            continue
        labels = {"process": line.process, **({"venue": venue} if stage else {})}
        family = families.get(name)
        if family is None:
            text = f"{name.replace('_', ' ')}, since the process was first started; bounds are good to 1 %."
            family = HistogramMetricFamily(f"corelane_{name}_seconds", text, labels=list(labels))
            families[name] = family
        buckets = [*zip(_BOUNDS, map(float, line.at_most), strict=True), ("+Inf", float(line.count))]
        family.add_metric(list(labels.values()), buckets, line.sum_ns / 1e9)
    yield from families.values()


def _problems(problems: Iterable[Problem]) -> Metric:
    counts = {(rule, str(severity)): 0.0 for rule, severity in SEVERITIES.items()}
    for problem in problems:
        counts[problem.rule, str(problem.severity)] += 1
    return _gauge("corelane_problems", "Problems that stand now, by rule.", counts, "rule", "severity")


def _gauge(name: str, text: str, values: Mapping[_Labels, float], *labels: str) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _counter(name: str, text: str, values: Mapping[_Labels, float], *labels: str) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family
