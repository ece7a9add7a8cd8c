"""Make, list and remove the shared memory of one instance.

The rule: making is idempotent and all or nothing; removing asks first whether anybody still runs. Only this module and
tests make segments. Called by `corelane shm`, the supervisor and the demo.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from processes.config import Config
from processes.exit_codes import ExitCode, Failure
from processes.kill_switch import KillSwitch
from shm import host
from shm.instance import Instance, VenueSegments
from shm.layout import SegmentKind
from shm.lock import AlreadyRunning, ProcessLock
from shm.segment import Segment, SegmentError
from shm.table import Words


@dataclass(frozen=True)
class SegmentLine:
    """One segment as `shm ls` shows it."""

    name: str
    kind: str
    bytes: int
    capacity: int
    writer_pid: int
    cursor: int
    """Last published sequence of a ring, number of writes of a table."""
    lag: int | None
    """Records that the consumer of a lossless ring has not taken; None where there is no one consumer."""
    problem: str = ""


def instance_of(config: Config) -> Instance:
    """Names and folders of the config's instance; nothing is opened."""
    part = config.instance
    return Instance(part.name, part.number, Path(part.run_dir), Path(part.state_dir))


def create(config: Config) -> list[str]:
    """Make every segment the config needs, those of the host too, and load the persisted kill switch; logical names of
    the instance's. Raises SegmentError."""
    instance = instance_of(config)
    venues = {
        name: VenueSegments(
            symbols=venue.symbols,
            market_ring_slots=venue.market_ring_slots,
            request_ring_slots=venue.request_ring_slots,
            event_ring_slots=venue.event_ring_slots,
        )
        for name, venue in config.venues.items()
    }
    try:
        host.sweep()
        names = instance.create(venues, config.processes())
        for name, venue in config.venues.items():
            instance.limits(name, venue.environment, venue.rest_url)
        KillSwitch(instance.state_dir, Words(instance.segment("words"))).load()
    except OSError as error:
        raise Failure(f"{error.filename or 'instance'}: {error.strerror}", ExitCode.CONFIG) from None
    finally:
        instance.close()
    return names


def remove(config: Config, *, force: bool = False) -> list[str]:
    """Unlink all segments of the instance; their names. Raises Failure where a process still runs, unless forced.

    Limits of the host go when nobody uses them and no ban or present count stands in them; forced, those too."""
    instance = instance_of(config)
    if not force:
        alive = running_processes(instance)
        if alive:
            raise Failure(
                f"{', '.join(alive)} of instance {instance.name} still runs; stop the set first, or use --force",
                ExitCode.ALREADY_RUNNING,
            )
    removed = instance.remove()
    if force:
        shared = [host.limits_name(name, venue.environment, venue.rest_url) for name, venue in config.venues.items()]
        removed += [name for name in shared if host.discard(name)]
    return removed


def running_processes(instance: Instance) -> list[str]:
    """Processes that hold their lock now: the kernel's word, not that of a file."""
    alive = []
    for path in sorted(instance.lock_folder.glob("*.lock")) if instance.lock_folder.is_dir() else []:
        try:
            ProcessLock(instance.lock_folder, path.stem).release()
        except AlreadyRunning:
            alive.append(path.stem)
    return alive


def segment_of(instance: Instance, name: str) -> Segment:
    """The attached segment that `shm ls` shows under this name, or of this logical one. Raises SegmentError."""
    if name.startswith(host.PREFIX):
        return Segment.attach(name)
    return instance.segment(name.removeprefix(instance.segment_name("")))


def listing(instance: Instance) -> list[SegmentLine]:
    """Every segment under the instance's name and the host's, also those that cannot be attached."""
    return [_line(name) for prefix in (instance.segment_name(""), host.PREFIX) for name in Segment.names(prefix)]


def _line(name: str) -> SegmentLine:
    try:
        segment = Segment.attach(name)
    except SegmentError as error:
        return SegmentLine(name, "?", 0, 0, 0, 0, None, str(error))
    with contextlib.closing(segment):
        header = segment.header[0]
        cursor, tail = int(header["cursor"]), int(header["tail"])
        return SegmentLine(
            name,
            segment.kind.name.lower().replace("_", " "),
            int(header["total_size"]),
            segment.capacity,
            segment.writer_pid,
            cursor,
            cursor - tail if segment.kind is SegmentKind.LOSSLESS_RING else None,
        )
