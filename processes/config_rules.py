"""What several keys of the config must agree on: cores, venues, live trading, strategies, limits.

The rule of this file: each function looks at one subject and returns sentences; it is only called with a tree whose
types are right. Called by `config.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from processes.config_reading import show, suggestion
from processes.config_schema import Config, StrategyConfig, VenueConfig
from processes.doctor_finding import shown
from processes.host_reading import Host
from shm.host import HOST_INSTANCE
from shm.layout import Venue

GRVT_COUNTDOWN_MS = (1_001, 300_000)
"""What its cancel_on_disconnect takes; less switches it off."""
GRVT_RATES = ("creates", "cancels", "queries")
KNOWN_VENUES = frozenset(venue.name.lower() for venue in Venue if venue)


def broken_rules(config: Config) -> list[str]:
    """One sentence for each rule that the config breaks; empty where it may run."""
    return [*_instance(config), *_venues(config), *_cores(config), *_strategies(config), *_ports(config)]


def _instance(config: Config) -> Iterator[str]:
    if config.instance.name == HOST_INSTANCE:
        yield f'instance.name: found "{HOST_INSTANCE}", expected another: it names what all instances of a host share'


def _venues(config: Config) -> Iterator[str]:
    if not config.venues:
        yield "venues: found none, expected at least one table like [venues.binance]"
    for name, venue in config.venues.items():
        path = f"venues.{name}"
        if name not in KNOWN_VENUES:
            yield f"{path}: unknown venue{suggestion(name, KNOWN_VENUES)}"
        for symbol in venue.expect.leverage:
            if symbol not in venue.symbols:
                yield f"{path}.expect.leverage.{symbol}: not one of {path}.symbols{suggestion(symbol, venue.symbols)}"
        if venue.environment == "live" and not venue.i_understand_live_trading:
            yield f'{path}.environment: found "live", expected i_understand_live_trading = true beside it'
        if venue.environment == "simulator" and name not in config.simulators and venue.rest_url is None:
            yield f'{path}.environment: found "simulator", expected [simulators.{name}] or URLs of one'
        if venue.environment != "simulator" and name in config.simulators:
            yield f"simulators.{name}: found beside {path}.environment = {show(venue.environment)}, expected none"
        if len(set(venue.symbols)) != len(venue.symbols):
            yield f"{path}.symbols: a symbol stands twice, expected each once"
        yield from _ring_sizes(path, venue)
        yield from _countdown(path, name, venue)
        yield from _rates(path, name, venue)
        yield from _engine_risk(path, venue)


def _ring_sizes(path: str, venue: VenueConfig) -> Iterator[str]:
    for key in ("market_ring_slots", "request_ring_slots", "event_ring_slots"):
        slots = getattr(venue, key)
        if slots & (slots - 1):
            yield f"{path}.{key}: found {slots}, expected a power of two like {1 << slots.bit_length()}"


def _countdown(path: str, name: str, venue: VenueConfig) -> Iterator[str]:
    least, most = GRVT_COUNTDOWN_MS
    if name == "grvt" and venue.countdown_ms and not least <= venue.countdown_ms <= most:
        yield f"{path}.countdown_ms: found {venue.countdown_ms}, expected 0 (off) or {least} to {most}"


def _rates(path: str, name: str, venue: VenueConfig) -> Iterator[str]:
    known = GRVT_RATES if name == "grvt" else ()
    for kind in venue.requests_per_second:
        if not known:
            yield f"{path}.requests_per_second: found limits, expected none: this venue tells its own"
            return
        if kind not in known:
            yield f"{path}.requests_per_second.{kind}: no such limit{suggestion(kind, known)}"


def _engine_risk(path: str, venue: VenueConfig) -> Iterator[str]:
    if venue.risk is None:
        return
    for key in ("max_order_quantity", "max_position"):
        given = getattr(venue.risk, key)
        for symbol in given:
            if symbol not in venue.symbols:
                yield f"{path}.risk.{key}.{symbol}: not a symbol of this venue{suggestion(symbol, venue.symbols)}"
        for symbol in venue.symbols:
            if symbol not in given:
                yield f"{path}.risk.{key}.{symbol}: missing, expected a limit for each symbol that may be traded"


def _cores(config: Config) -> Iterator[str]:
    known = config.processes()
    present = os.sched_getaffinity(0) | Host().cores
    spinning: dict[int, str] = {}
    for process, placed in config.cores.items():
        path = f"cores.{process}"
        if process not in known:
            yield f"{path}: no such process in this file{suggestion(process, known)}"
        if placed.core is None:
            if placed.wait == "spin":
                yield f'{path}.wait: found "spin" without a core, expected core = N: a spinning process needs its own'
            continue
        if placed.core not in present:
            yield f"{path}.core: found {placed.core}, expected one of this machine: {shown(present)}"
        elif placed.wait == "spin":
            if placed.core in spinning:
                other = spinning[placed.core]
                yield f"{path}.core: {placed.core} is the core of {other} and both spin, expected another core or wait"
            spinning.setdefault(placed.core, process)
    for process, placed in config.cores.items():
        owner = spinning.get(placed.core) if placed.core is not None else None
        if owner is not None and placed.wait != "spin" and placed.scheduling == "fifo":
            yield f"cores.{process}.core: on core {placed.core} {owner} spins, expected another one for a fifo process"


def _strategies(config: Config) -> Iterator[str]:
    ids: dict[int, str] = {}
    names: set[str] = set()
    for index, strategy in enumerate(config.strategies):
        path = f"strategies[{index}]"
        if strategy.id in ids:
            yield f'{path}.id: found {strategy.id}, which is "{ids[strategy.id]}"; expected an id of its own'
        ids.setdefault(strategy.id, strategy.name)
        if strategy.name in names:
            yield f"{path}.name: found {show(strategy.name)} a second time, expected a name of its own"
        names.add(strategy.name)
        yield from _instruments(config, path, strategy)


def _instruments(config: Config, path: str, strategy: StrategyConfig) -> Iterator[str]:
    environments = set()
    for position, instrument in enumerate(strategy.instruments):
        venue_name, _, symbol = instrument.partition(":")
        venue = config.venues.get(venue_name)
        where = f"{path}.instruments[{position}]"
        if venue is None:
            yield f"{where}: no venue {show(venue_name)} in this file{suggestion(venue_name, config.venues)}"
            continue
        if symbol not in venue.symbols:
            yield f"{where}: {show(symbol)} is not in venues.{venue_name}.symbols{suggestion(symbol, venue.symbols)}"
        environments.add(venue.environment)
    if "live" in environments and len(environments) > 1:
        others = ", ".join(sorted(environments - {"live"}))
        yield f"{path}.instruments: found live venues beside {others}, expected one strategy to stay with one kind"


def _ports(config: Config) -> Iterator[str]:
    ports = {config.monitor.port: "monitor"} if config.observers.monitor else {}
    for name, simulator in config.simulators.items():
        if name not in config.venues:
            yield f"simulators.{name}: no venue of that name in this file{suggestion(name, config.venues)}"
        if simulator.port in ports:
            other = ports[simulator.port]
            yield f"simulators.{name}.port: found {simulator.port}, that of {other}, expected another"
        ports.setdefault(simulator.port, f"simulators.{name}")
