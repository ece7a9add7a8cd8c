"""The rings under several real processes, stalls and kill -9: short in the test suite, as long as you like by hand.

    python -m tests.shm.stress --records 1e8            both contracts, with two and with four processes
    python -m tests.shm.stress --records 1e6 --fault "publish before copy"      must end in a failure

Every record carries its number in four places and a checksum, and its number is its sequence, so that a torn, lost,
doubled or misplaced record is seen wherever it is read. Writers and readers are killed at random moments and, through
the stall hooks, inside of every window of the protocol; whoever is killed is started again and must go on without a
gap.

`FaultyWriter` breaks the protocol on purpose, in plain Python over the same bytes: the harness must catch it, and
must not complain about the same Python writer without a fault.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shm.layout import BUSY_BIT, HEADER_SIZE, SLOT_HEADER_SIZE, WORD_COUNT, RecordKind, SegmentKind, slot_stride
from shm.records import OrderRequest
from shm.ring import BroadcastReader, BroadcastWriter, LosslessReader, LosslessWriter
from shm.segment import Segment
from shm.stall import StallPoint
from shm.table import Words
from tests.shm.children import Child, ChildFailed, children

MULTIPLIER = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1
APPLIED = 0
"""Word in which the consumer of a lossless ring keeps the last number whose effect happened."""
ALLOWED = 1
"""Word with the last number that the writer may write so far: the deaths are spread over the whole run by it, however
fast the machine is."""
FAULTS = ("none", "skip the invalidate", "publish before copy")


def fill(record: OrderRequest, number: int) -> None:
    record.client_order_id = record.request_id = number
    record.create_time_ns = -number
    record.cause_sequence = number * MULTIPLIER & MASK


def is_whole(record: OrderRequest) -> bool:
    number = record.request_id
    return (
        record.client_order_id == number == record.sequence
        and record.create_time_ns == -number
        and record.cause_sequence == number * MULTIPLIER & MASK
    )


def torn_rows(array: npt.NDArray[np.void]) -> int:
    """How many drained records are not whole, by the same rule as is_whole()."""
    number = array["request_id"]
    whole = array["client_order_id"] == number
    whole &= array["sequence"] == number
    whole &= array["create_time_ns"] == -number.astype(np.int64)
    whole &= array["cause_sequence"] == number * np.uint64(MULTIPLIER)
    return len(array) - int(whole.sum())


class FaultyWriter:
    """A broadcast writer in plain Python stores, which x86 keeps in order, with one step of the protocol broken."""

    def __init__(self, segment: Segment, fault: str) -> None:
        self._words = memoryview(segment.buffer).cast("B").cast("Q")
        self._fault = fault
        self._stride, self._mask = segment.stride // 8, segment.capacity - 1
        self.published = 0

    def publish(self, record: OrderRequest) -> None:
        words, sequence = self._words, self.published + 1
        slot = HEADER_SIZE // 8 + (sequence - 1 & self._mask) * self._stride
        if self._fault == "publish before copy":
            words[slot] = sequence
        elif self._fault != "skip the invalidate":
            words[slot] = BUSY_BIT | sequence
        middle = slot + SLOT_HEADER_SIZE // 8 + record.nbytes // 16
        for index, word in enumerate(memoryview(bytes(record)).cast("Q"), slot + SLOT_HEADER_SIZE // 8):
            words[index] = word
            if index == middle and sequence % 8 == 0:
                os.sched_yield()  # a reader on the same core would hardly ever look at the wrong moment otherwise
        words[slot] = sequence
        words[64 // 8] = sequence  # the cursor
        self.published = sequence


def make_hook(seed: int, kill_chance: float) -> Callable[[StallPoint, int], None]:
    """Sleeps now and then in the middle of the protocol, and now and then does not come back."""
    chance = random.Random(seed)

    def hook(point: StallPoint, sequence: int) -> None:
        draw = chance.random()
        if draw < kill_chance:
            os.kill(os.getpid(), signal.SIGKILL)
        elif draw < 0.01:
            time.sleep(chance.random() * 2e-4)

    return hook


# --- what the processes do ------------------------------------------------------------------------------------------
def write(name: str, words_name: str, last: int, seed: int, hooked: int, fault: str) -> None:
    """Publish up to number `last`, the first `hooked` records of it with stalls and kills inside of the protocol."""
    segment, words = Segment.attach(name), Words(Segment.attach(words_name))
    record = OrderRequest()
    if fault:
        faulty = FaultyWriter(segment, fault)
        for number in range(1, last + 1):
            fill(record, number)
            faulty.publish(record)
        return
    writer: BroadcastWriter | LosslessWriter
    publish: Callable[[OrderRequest], object]
    if segment.kind is SegmentKind.LOSSLESS_RING:
        writer = LosslessWriter(segment, reserve=False)
        publish = writer.try_publish
    else:
        writer = BroadcastWriter(segment)
        publish = writer.publish
    first = writer.published + 1
    writer.stall_hook = make_hook(seed, 2e-4) if hooked else None
    allowed = 0
    for number in range(first, last + 1):
        if number == first + hooked:
            writer.stall_hook = None
        while number > allowed:
            os.sched_yield()
            allowed = words.load(ALLOWED)
        fill(record, number)
        while not publish(record):
            os.sched_yield()


@dataclass
class Tally:
    first: int
    """Sequence after which this reader attached."""
    polled: int = 0
    lost: int = 0
    torn: int = 0
    backward: int = 0
    laps: int = 0


def read(name: str, last: int, from_start: bool) -> Tally:
    """Read along until number `last`; poll and drain by turns."""
    reader = BroadcastReader(Segment.attach(name), from_sequence=1 if from_start else None)
    tally = Tally(reader.next_sequence - 1)
    newest = tally.first
    turn = 0
    while newest < last:
        turn += 1
        if turn & 64:
            record = reader.poll()
            if record is None:
                os.sched_yield()
                continue
            tally.torn += not is_whole(record)
            tally.backward += record.sequence <= newest
            newest = record.sequence
            tally.polled += 1
        else:
            array = reader.drain(256)
            if not len(array):
                os.sched_yield()
                continue
            tally.torn += torn_rows(array)
            sequences = array["sequence"]
            tally.backward += int(sequences[0]) <= newest or bool((np.diff(sequences.astype(np.int64)) <= 0).any())
            newest = int(sequences[-1])
            tally.polled += len(array)
    tally.lost, tally.laps = reader.lost, reader.laps
    return tally


def consume(name: str, words_name: str, last: int, seed: int, hooked: int) -> int:
    """Apply every record once and in order, as an event's receiver does; how many this life applied."""
    reader, words = LosslessReader(Segment.attach(name)), Words(Segment.attach(words_name))
    applied = words.load(APPLIED)
    if reader.next_sequence > applied + 1:
        raise AssertionError(f"the tail is at {reader.next_sequence - 1}, but only {applied} were applied")
    reader.stall_hook = make_hook(seed, 2e-4) if hooked else None
    own = 0
    while applied < last:
        record = reader.poll()
        if record is None:
            os.sched_yield()
            continue
        own += 1
        if own == hooked:
            reader.stall_hook = None
        if not is_whole(record):
            raise AssertionError(f"record {record.sequence} is torn: {record}")
        if record.sequence > applied:  # else a repetition after a kill between the effect and the commit
            if record.sequence != applied + 1:
                raise AssertionError(f"record {record.sequence} came after {applied}")
            applied = record.sequence
            words.store(APPLIED, applied)
        if own % 16 == 0 or not reader.has_next():
            reader.commit()
    reader.commit()
    return own


# --- who starts and kills them --------------------------------------------------------------------------------------
@dataclass
class Outcome:
    records: int
    kills: int
    laps: int
    lost: int
    problems: list[str]
    seconds: float


def run(
    records: int, contract: str, processes: int, seed: int, *, kills: int = 20, capacity: int = 64, fault: str = ""
) -> Outcome:
    """One writer and `processes` - 1 readers until `records` were written, with at least `kills` violent deaths."""
    chance = random.Random(seed)
    lossless = contract == "lossless"
    base = f"/corelane.stress{os.getpid()}-{uuid.uuid4().hex[:8]}"
    kind = SegmentKind.LOSSLESS_RING if lossless else SegmentKind.BROADCAST_RING
    problems: list[str] = []
    tallies: list[Tally] = []
    started = time.monotonic()
    deaths = 0
    try:
        Segment.create(base + ".ring", kind, capacity, slot_stride(RecordKind.ORDER_REQUEST)).close()
        words = Words(Segment.create(base + ".words", SegmentKind.WORDS, WORD_COUNT, 8))
        with children() as start:

            def begin(role: int, life: int) -> Child:
                """Role 0 writes, role 1 of a lossless ring consumes, all others read along."""
                hooked = 3000 if life % 2 == 0 and deaths < kills and not fault else 0
                draw = chance.randrange(1 << 30)
                if role == 0:
                    return start(write, base + ".ring", base + ".words", records, draw, hooked, fault)
                if role == 1 and lossless:
                    return start(consume, base + ".ring", base + ".words", records, draw, hooked)
                return start(read, base + ".ring", records, life == 0)

            # Readers first, so that the first of them miss nothing from the beginning.
            alive = {role: begin(role, 0) for role in reversed(range(processes))}
            lives = dict.fromkeys(alive, 0)
            while alive:
                words.store(ALLOWED, records * (deaths + 1) // (kills + 1) if deaths < kills and not fault else records)
                time.sleep(0.002 + chance.random() * 0.02)
                if deaths < kills and not fault:
                    alive[chance.choice(list(alive))].kill()
                for role, child in list(alive.items()):
                    if child.running:
                        continue
                    if child.killed:
                        deaths += 1
                        lives[role] += 1
                        alive[role] = begin(role, lives[role])
                        continue
                    del alive[role]
                    try:
                        result = child.result()
                    except ChildFailed as failure:
                        problems.append(str(failure))
                        continue
                    if isinstance(result, Tally):
                        tallies.append(result)
    finally:
        for name in Segment.names(base):
            Segment.remove(name)
    for tally in tallies:
        if tally.torn or tally.backward:
            problems.append(f"{tally.torn} torn, {tally.backward} backward of {tally.polled}")
        if tally.polled + tally.lost != records - tally.first:
            problems.append(f"{tally.polled} polled + {tally.lost} lost is not {records - tally.first} published")
    return Outcome(
        records, deaths, sum(tally.laps for tally in tallies), sum(tally.lost for tally in tallies), problems,
        time.monotonic() - started,
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description="Rings under several processes, stalls and kill -9.")
    parser.add_argument("--records", type=float, default=1e6, help="in all, over both contracts and process counts")
    parser.add_argument("--kills", type=int, default=200, help="per run")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--fault", choices=FAULTS, default=None, help="break the protocol in a writer; must fail")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1 << 30)
    print(f"seed {seed}")
    plan = [(contract, processes) for contract in ("broadcast", "lossless") for processes in (2, 4)]
    if arguments.fault:
        plan = [("broadcast", 2)]
    each = int(arguments.records) // len(plan)
    bad = False
    for contract, processes in plan:
        capacity = 4 if arguments.fault else 1024
        outcome = run(
            each, contract, processes, seed, kills=arguments.kills, capacity=capacity, fault=arguments.fault or ""
        )
        rate = outcome.records / outcome.seconds
        print(
            f"{contract:9} {processes} processes: {outcome.records:,} records, {outcome.kills} kills, "
            f"{outcome.laps:,} laps, {outcome.lost:,} lost and counted, {rate:,.0f} records/s, "
            f"{len(outcome.problems)} problems",
            flush=True,
        )
        for problem in outcome.problems:
            print("  " + problem)
        bad = bad or bool(outcome.problems)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
