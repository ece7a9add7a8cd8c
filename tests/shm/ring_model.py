"""An operational model of ring.pyx that visits every state of a small case, under reorderings no test machine shows.

The case: 2 slots, 3 records of 2 words, so that the third laps the first; two broadcast readers, or the consumer and an
observer of a lossless ring; writer or consumer killed at any moment, and started again.

Machine. One memory that all threads see alike ("other multi-copy atomic": ARMv8, and x86-TSO as a special case; not
POWER), and threads that execute their accesses in *any* order that the following allow:

    same location           program order (coherence)
    acquire load            before every later access
    release store           after every earlier access
    release fence           earlier accesses before later stores
    acquire fence           earlier loads before later accesses
    branches                order nothing: loads run ahead of the check that they depend on, and so do the writer's
                            stores of its look at the tail (a run whose guess turns out wrong is no run at all)

So it explores: within a publish and across successive publishes every order of stores to different locations that the
fences permit (store-store), of the tail load against later stores (load-store), and within a poll every permitted
order of its loads (load-load). Successive polls are not overlapped: each decides by its own four loads, so
overlapping them shows nothing new. A kill keeps an arbitrary permitted part of the accesses that were under way,
which is more than hardware does (it retires in order) and covers a compiler that reorders. Restarting is a kernel's
work, thus a full fence.

What is checked
    torn        the words of an accepted record are not of one write
    stale       an accepted record is not the one published under its sequence
    overwritten a sequence is published twice, or a record the consumer still needs is gone
    stuck       all is published, and a reader finds nothing at a sequence that exists
    sent twice  a request's effect happens twice (its tail is committed before the effect: at most once)
    not applied an event's effect never happens (its tail is committed after the effect: at least once)

`WEAKENINGS` removes one ordering or crash rule each. The test runs the same search over each of them and wants it
found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

SLOTS, RECORDS, WORDS = 2, 3, 2
BUSY = 64
CURSOR = SLOTS * (1 + WORDS)
TAIL = CURSOR + 1
MEMORY = TAIL + 1

BROADCAST_WEAKENINGS = {
    "no invalidate": "W1 is left out: the old sequence stays while the record changes",
    "relaxed invalidate": "W1 is relaxed: it may precede W4 of the record before, and a kill then leaves no whole slot",
    "no release fence": "W2 is left out: words of the record may precede the invalidate",
    "relaxed publish": "W4 is relaxed: the sequence may precede the words",
    "publish before copy": "W4 stands before W3",
    "relaxed first load": "R1 is relaxed: words may be read before it",
    "no acquire fence": "R3 is left out: the second look may precede the words",
    "no second look": "R4 is left out",
    "restart from the cursor": "a new writer trusts the cursor, which may be one behind",
    "restart counts busy": "a new writer takes a half-written slot for published",
    "restart finishes busy": "a new writer validates a half-written slot instead of writing it again",
}
LOSSLESS_WEAKENINGS = {
    "no tail check": "the writer overwrites what was not consumed",
    "commit after send": "the tail of a request ring moves after the effect",
    "commit before apply": "the tail of an event ring moves before the effect",
}
HARMLESS_ALONE = {
    "relaxed cursor": "the cursor is a hint: nothing depends on its order",
    "relaxed tail store": "the acquire fence R3 already keeps the words before it",
    "relaxed tail load": "the release fence W2 keeps the words behind the invalidate, which the consumer would see",
}
WEAKENINGS = BROADCAST_WEAKENINGS | LOSSLESS_WEAKENINGS


class Violation(Exception):
    """The search found an execution that breaks a promise."""


def word_at(sequence: int) -> int:
    return (sequence - 1) % SLOTS * (1 + WORDS)


class Access(NamedTuple):
    location: int
    value: int
    publishes: int = 0
    """The sequence that becomes readable with this store, 0 for none."""
    room_for: int = 0
    """Not a store but the writer's look at the tail before this sequence, 0 for a store."""
    release: bool = False
    acquire: bool = False
    fences: int = 0
    """How many release fences stand before this access: stores wait for every access before the newest one."""


class Program(NamedTuple):
    """A writer's accesses and, for each, the bits of those that must have happened before it."""

    accesses: tuple[Access, ...]
    after: tuple[int, ...]
    everything: int


def writer_program(first: int, incarnation: int, lossless: bool, weak: frozenset[str]) -> Program:
    """What a writer does that begins at sequence `first`."""
    accesses: list[Access] = []
    fences = 0
    for sequence in range(first, RECORDS + 1):
        slot, tag = word_at(sequence), sequence * 4 + incarnation
        if lossless and sequence > SLOTS and "no tail check" not in weak:
            accesses.append(Access(TAIL, 0, room_for=sequence, acquire="relaxed tail load" not in weak, fences=fences))
        publish = Access(slot, sequence, publishes=sequence, release="relaxed publish" not in weak, fences=fences)
        if "no invalidate" not in weak:
            accesses.append(Access(slot, BUSY | sequence, release="relaxed invalidate" not in weak, fences=fences))
        if "no release fence" not in weak:
            fences += 1
        if "publish before copy" in weak:
            accesses.append(publish._replace(fences=fences))
        accesses += [Access(slot + 1 + word, tag, fences=fences) for word in range(WORDS)]
        if "publish before copy" not in weak:
            accesses.append(publish._replace(fences=fences))
        accesses.append(Access(CURSOR, sequence, release="relaxed cursor" not in weak, fences=fences))
    after = []
    for index, access in enumerate(accesses):
        needed = 0
        for earlier_index, earlier in enumerate(accesses[:index]):
            if (
                access.release
                or earlier.acquire
                or earlier.location == access.location
                or (earlier.fences < access.fences and not access.room_for)
            ):
                needed |= 1 << earlier_index
        after.append(needed)
    return Program(tuple(accesses), tuple(after), (1 << len(accesses)) - 1)


class Reader(NamedTuple):
    """A poll under way. Bits of `loaded`: 0 the first look (R1), 1.. the words (R2), the last the second look (R4)."""

    sequence: int = 1
    loaded: int = 0
    values: tuple[int, ...] = (0,) * (WORDS + 2)
    stage: int = 0
    """0 polling, 1 lapped and looking at the cursor, 2 accepted, 3 accepted and half of (commit, effect) done."""


FIRST, SECOND = 0, WORDS + 1
ALL_LOADS = (1 << WORDS + 2) - 1


class State(NamedTuple):
    memory: tuple[int, ...]
    incarnation: int
    first: int
    done: int
    """Bits of the writer's accesses that have happened."""
    published: tuple[int, ...]
    """Tag of the write that made each sequence readable."""
    readers: tuple[Reader, ...]
    effects: tuple[int, ...]
    kills: int


@dataclass
class Checker:
    """Searches one configuration. `roles`: "reader" (broadcast); a consumer of "requests" or "events", "observer"."""

    roles: tuple[str, ...]
    weak: frozenset[str] = frozenset()
    kill_writer: bool = False
    kill_consumer: bool = False
    kills: int = 1
    """How often; two is the most that tags tell apart."""
    visited: int = 0
    _programs: dict[tuple[int, int], Program] = field(default_factory=dict)

    @property
    def lossless(self) -> bool:
        return self.roles[0] != "reader"

    def program(self, state: State) -> Program:
        key = (state.first, state.incarnation)
        if key not in self._programs:
            self._programs[key] = writer_program(*key, self.lossless, self.weak)
        return self._programs[key]

    def run(self) -> int:
        """Visit every state; how many there were. Raises Violation at the first broken promise."""
        start = State(
            (0,) * MEMORY, 1, 1, 0, (0,) * (RECORDS + 1), (Reader(),) * len(self.roles), (0,) * (RECORDS + 1),
            self.kills if self.kill_writer or self.kill_consumer else 0,
        )  # fmt: skip
        seen = {start}
        open_states = [start]
        while open_states:
            state = open_states.pop()
            moved = False
            for following in self.successors(state):
                moved = True
                if following not in seen:
                    seen.add(following)
                    open_states.append(following)
            if not moved:
                self.check_end(state)
        self.visited = len(seen)
        return self.visited

    def successors(self, state: State) -> Iterator[State]:
        yield from self.writer_steps(state)
        for index, role in enumerate(self.roles):
            reader = state.readers[index]
            if role in ("requests", "events"):
                yield from self.consumer_steps(state, index, reader, role)
            else:
                yield from self.reader_steps(state, index, reader)
        if state.kills and self.kill_writer and state.done != self.program(state).everything:
            yield self.restarted_writer(state)
        if state.kills and self.kill_consumer and self.lossless:
            again = Reader(state.memory[TAIL] + 1)
            yield state._replace(readers=(again, *state.readers[1:]), kills=state.kills - 1)

    # --- writer -----------------------------------------------------------------------------------------------------
    def writer_steps(self, state: State) -> Iterator[State]:
        program = self.program(state)
        for index, access in enumerate(program.accesses):
            if state.done >> index & 1 or program.after[index] & ~state.done:
                continue
            done = state.done | 1 << index
            if access.room_for:
                # Room: fewer than SLOTS records wait. With a full ring the writer looks again; a guess that it had
                # room, already acted upon, was wrong, and such a run does not exist.
                if access.room_for - 1 - state.memory[TAIL] < SLOTS:
                    yield state._replace(done=done)
                continue
            memory = list(state.memory)
            memory[access.location] = access.value
            published = state.published
            if access.publishes:
                tag = access.publishes * 4 + state.incarnation
                if published[access.publishes]:
                    raise Violation(f"overwritten: sequence {access.publishes} was published twice")
                published = (*published[: access.publishes], tag, *published[access.publishes + 1 :])
            yield state._replace(memory=tuple(memory), done=done, published=published)

    def restarted_writer(self, state: State) -> State:
        """Whatever was under way stays undone; the successor finds its place."""
        memory, published = list(state.memory), state.published
        words = [memory[slot * (1 + WORDS)] for slot in range(SLOTS)]
        if "restart from the cursor" in self.weak:
            highest = memory[CURSOR]
        elif "restart counts busy" in self.weak:
            highest = max(word & ~BUSY for word in words)
        elif "restart finishes busy" in self.weak:
            highest = max(word & ~BUSY for word in words)
            for slot, word in enumerate(words):
                if word & BUSY:
                    sequence = word & ~BUSY
                    memory[slot * (1 + WORDS)] = sequence
                    tag = sequence * 4 + state.incarnation
                    published = (*published[:sequence], tag, *published[sequence + 1 :])
        else:
            highest = max((word for word in words if not word & BUSY), default=0)
        memory[CURSOR] = highest
        return state._replace(
            memory=tuple(memory),
            published=published,
            incarnation=state.incarnation + 1,
            first=highest + 1,
            done=0,
            kills=state.kills - 1,
        )

    # --- readers ----------------------------------------------------------------------------------------------------
    def loads(self, state: State, reader: Reader) -> Iterator[tuple[Reader, bool]]:
        """Each load that may happen now: the reader after it, and whether the poll is decided by that."""
        slot = word_at(reader.sequence)
        skipped = 1 << SECOND if "no second look" in self.weak else 0
        for load in range(WORDS + 2):
            if (reader.loaded | skipped) >> load & 1:
                continue
            needed = 0
            if load != FIRST and ("relaxed first load" not in self.weak or load == SECOND):
                needed |= 1 << FIRST
            if load == SECOND and "no acquire fence" not in self.weak:
                needed |= ALL_LOADS & ~(1 << SECOND)
            if needed & ~reader.loaded:
                continue
            location = slot if load in (FIRST, SECOND) else slot + load
            values = (*reader.values[:load], state.memory[location], *reader.values[load + 1 :])
            if skipped and load == FIRST:
                values = (*values[:SECOND], values[FIRST])
            after = reader._replace(loaded=reader.loaded | 1 << load, values=values)
            yield after, (after.loaded | skipped) == ALL_LOADS or (load == FIRST and values[FIRST] != reader.sequence)

    def decide(self, state: State, reader: Reader) -> str:
        """ "empty", "lapped" or "accepted", as _copy() of ring.pyx does; raises Violation for a bad acceptance."""
        first, second = reader.values[FIRST], reader.values[SECOND]
        if first != reader.sequence:
            return "lapped" if first & ~BUSY > reader.sequence else "empty"
        if second != reader.sequence:
            return "lapped"
        words = set(reader.values[1:SECOND])
        if len(words) > 1:
            raise Violation(f"torn: record {reader.sequence} has words of {sorted(words)}")
        if words != {state.published[reader.sequence]}:
            raise Violation(f"stale: record {reader.sequence} has words of {sorted(words)}")
        return "accepted"

    def reader_steps(self, state: State, index: int, reader: Reader) -> Iterator[State]:
        if reader.sequence > RECORDS:
            return
        if reader.stage == 1:
            newest = state.memory[CURSOR]
            yield self.moved(state, index, Reader(max(newest, reader.sequence)))
            return
        for after, decided in self.loads(state, reader):
            if decided:
                outcome = self.decide(state, after)
                if outcome == "accepted":
                    after = Reader(reader.sequence + 1)
                else:
                    after = Reader(reader.sequence, stage=int(outcome == "lapped"))
            if after != reader:
                yield self.moved(state, index, after)

    def consumer_steps(self, state: State, index: int, reader: Reader, role: str) -> Iterator[State]:
        if reader.sequence > RECORDS:
            return
        if reader.stage >= 2:
            commits_first = (role == "requests") != (
                "commit after send" in self.weak or "commit before apply" in self.weak
            )
            if (reader.stage == 2) == commits_first:
                state = state._replace(memory=(*state.memory[:TAIL], reader.sequence))
            else:
                effects = list(state.effects)
                effects[reader.sequence] += 1
                if role == "requests" and effects[reader.sequence] > 1:
                    raise Violation(f"sent twice: request {reader.sequence}")
                effects[reader.sequence] = 1
                state = state._replace(effects=tuple(effects))
            after = reader._replace(stage=3) if reader.stage == 2 else Reader(reader.sequence + 1)
            yield self.moved(state, index, after)
            return
        if (
            "relaxed tail store" in self.weak
            and "no acquire fence" in self.weak
            and reader.values[FIRST] == reader.values[SECOND] == reader.sequence
            and reader.loaded != ALL_LOADS
            and state.memory[TAIL] < reader.sequence
        ):
            # Nothing orders the commit behind the words any more: it may become visible before they are read.
            yield state._replace(memory=(*state.memory[:TAIL], reader.sequence))
        for after, decided in self.loads(state, reader):
            if decided:
                outcome = self.decide(state, after)
                if outcome == "lapped":
                    raise Violation(f"overwritten: record {reader.sequence} before it was consumed")
                after = reader._replace(loaded=0, values=Reader().values, stage=2 if outcome == "accepted" else 0)
            if after != reader:
                yield self.moved(state, index, after)

    @staticmethod
    def moved(state: State, index: int, reader: Reader) -> State:
        return state._replace(readers=(*state.readers[:index], reader, *state.readers[index + 1 :]))

    # --- the end ----------------------------------------------------------------------------------------------------
    def check_end(self, state: State) -> None:
        """Nothing can move: everything must be published and read, each effect must have happened."""
        if state.done != self.program(state).everything:
            raise Violation("stuck: the writer cannot go on")
        for role, reader in zip(self.roles, state.readers, strict=True):
            if reader.sequence <= RECORDS:
                raise Violation(f"stuck: a {role} waits for record {reader.sequence}")
        if self.roles[0] == "events" and 0 in state.effects[1:]:
            raise Violation(f"not applied: event {state.effects.index(0, 1)}")
