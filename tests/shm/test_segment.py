"""shm/segment.py: what is not exactly a segment of this build is one sentence, never a crash."""

from __future__ import annotations

import errno
import logging
import os
import re
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import posix_ipc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shm import segment as segment_module
from shm.counters import Counters, CountersReader
from shm.layout import COUNTERS_STRIDE, HEADER_SIZE, MAGIC, SEGMENT_HEADER, RecordKind, SegmentKind
from shm.records import RECORD_CLASSES, Quote
from shm.ring import BroadcastReader, BroadcastWriter, LosslessReader, LosslessWriter
from shm.segment import Segment, SegmentError
from shm.table import TableReader, TableWriter, Words
from tests.shm.children import children

NOBODY = 65534


def one_sentence(error: BaseException) -> bool:
    text = str(error)
    return bool(text) and "\n" not in text and "Traceback" not in text


def file_of(name: str) -> Path:
    return Path("/dev/shm") / name.lstrip("/")


def test_a_made_segment_describes_itself(segment_name: str) -> None:
    made = Segment.create(segment_name, SegmentKind.BROADCAST_RING, 16, 128)
    found = Segment.attach(segment_name, SegmentKind.BROADCAST_RING)
    assert (found.kind, found.capacity, found.stride, found.writer_pid) == (SegmentKind.BROADCAST_RING, 16, 128, 0)
    assert len(found.buffer) == HEADER_SIZE + 16 * 128
    assert bytes(found.header["name"][0]).decode() == segment_name
    made.buffer[HEADER_SIZE] = 7
    assert found.buffer[HEADER_SIZE] == 7, "one memory"


def test_create_is_idempotent_and_keeps_the_contents(segment_name: str) -> None:
    first = Segment.create(segment_name, SegmentKind.WORDS, 64, 8)
    Words(first).store(3, 9)
    assert Words(Segment.create(segment_name, SegmentKind.WORDS, 64, 8)).load(3) == 9


def test_a_segment_knows_whether_its_name_still_leads_to_it(segment_name: str) -> None:
    made = Segment.create(segment_name, SegmentKind.WORDS, 64, 8)
    found = Segment.attach(segment_name)
    assert made.is_linked()
    assert found.is_linked()
    Segment.remove(segment_name)
    assert not made.is_linked()
    again = Segment.create(segment_name, SegmentKind.WORDS, 64, 8)
    assert again.is_linked()
    assert not found.is_linked(), "one of the same name is another"


@pytest.mark.parametrize(
    ("kind", "capacity", "stride"),
    [(SegmentKind.WORDS, 128, 8), (SegmentKind.TABLE, 64, 64), (SegmentKind.LOSSLESS_RING, 64, 128)],
)
def test_create_refuses_another_shape_under_the_same_name(
    segment_name: str, kind: SegmentKind, capacity: int, stride: int
) -> None:
    Segment.create(segment_name, SegmentKind.WORDS, 64, 8)
    with pytest.raises(SegmentError, match="the configuration asks for") as caught:
        Segment.create(segment_name, kind, capacity, stride)
    assert one_sentence(caught.value)


@pytest.mark.parametrize(
    ("kind", "capacity", "stride"),
    [
        (SegmentKind.BROADCAST_RING, 0, 64),
        (SegmentKind.BROADCAST_RING, 1, 64),
        (SegmentKind.LOSSLESS_RING, 24, 64),
        (SegmentKind.LOSSLESS_RING, 16, 0),
        (SegmentKind.LOSSLESS_RING, 16, 100),
        (SegmentKind.TABLE, 0, 64),
        (SegmentKind.TABLE, 4, 8),
        (SegmentKind.WORDS, 4, 4),
        (SegmentKind.COUNTERS, 1, 64),
        (SegmentKind.NONE, 1, 64),
    ],
)
def test_a_shape_that_compiled_code_could_not_rely_on_is_not_made(
    segment_name: str, kind: SegmentKind, capacity: int, stride: int
) -> None:
    with pytest.raises(SegmentError) as caught:
        Segment.create(segment_name, kind, capacity, stride)
    assert one_sentence(caught.value)
    assert not file_of(segment_name).exists()


def test_a_missing_segment_names_the_command_that_makes_it(segment_name: str) -> None:
    with pytest.raises(SegmentError, match="does not exist; `corelane shm create` makes it"):
        Segment.attach(segment_name)


@pytest.mark.parametrize("name", ["", "/a/b", "/" + "x" * 300])
def test_an_impossible_name_is_one_sentence(name: str) -> None:
    with pytest.raises(SegmentError) as caught:
        Segment.attach(name)
    assert one_sentence(caught.value)
    with pytest.raises(SegmentError) as caught:
        Segment.create(name, SegmentKind.WORDS, 1, 8)
    assert one_sentence(caught.value)


def test_attach_checks_the_kind_that_was_asked_for(segment_name: str) -> None:
    Segment.create(segment_name, SegmentKind.WORDS, 64, 8)
    with pytest.raises(SegmentError, match="is a WORDS, a TABLE was expected"):
        Segment.attach(segment_name, SegmentKind.TABLE)


def test_a_full_shared_memory_is_refused_at_create_and_leaves_nothing(
    segment_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(SegmentError, match=r"No space left on device; /dev/shm has [\d,]+ bytes free"):
        Segment.create(segment_name, SegmentKind.WORDS, 64, 8)
    assert not file_of(segment_name).exists()


@pytest.mark.parametrize("factor", [2, 2**20, 2**44])
def test_a_segment_larger_than_the_real_shared_memory_is_refused(segment_name: str, factor: int) -> None:
    status = os.statvfs("/dev/shm")
    capacity = 1 << (status.f_blocks * status.f_frsize * factor // 64).bit_length()
    with pytest.raises(SegmentError, match=r"cannot be made: .*bytes free") as caught:
        Segment.create(segment_name, SegmentKind.BROADCAST_RING, capacity, 64)
    assert one_sentence(caught.value)
    assert not file_of(segment_name).exists()


@pytest.mark.parametrize("size", [0, 1, 8, HEADER_SIZE - 1, HEADER_SIZE, HEADER_SIZE + 1, HEADER_SIZE + 16 * 128 - 1])
def test_a_truncated_segment_is_refused(segment_name: str, size: int) -> None:
    Segment.create(segment_name, SegmentKind.BROADCAST_RING, 16, 128).close()
    os.truncate(file_of(segment_name), size)
    with pytest.raises(SegmentError, match="bytes") as caught:
        Segment.attach(segment_name)
    assert one_sentence(caught.value)


def test_a_foreign_segment_is_refused(segment_name: str) -> None:
    file_of(segment_name).touch(0o600)
    file_of(segment_name).write_bytes(os.urandom(8192))
    with pytest.raises(SegmentError, match=re.escape(f"not {MAGIC:#x}")):
        Segment.attach(segment_name)
    with pytest.raises(SegmentError, match=re.escape(f"not {MAGIC:#x}")):
        Segment.create(segment_name, SegmentKind.WORDS, 1, 8)


def test_another_layout_is_refused_with_what_to_do(segment_name: str) -> None:
    segment = Segment.create(segment_name, SegmentKind.WORDS, 1, 8)
    segment.header["layout_hash"] += 1
    with pytest.raises(SegmentError, match="stop the processes and run `corelane shm rm`, then `create`"):
        Segment.attach(segment_name)


@pytest.mark.parametrize("left", ["nothing", "space", "header without magic"])
def test_a_segment_whose_maker_was_killed_is_made_again(segment_name: str, left: str) -> None:
    shared = posix_ipc.SharedMemory(segment_name, posix_ipc.O_CREX, mode=0o600)
    if left != "nothing":
        os.posix_fallocate(shared.fd, 0, 8192)
    if left == "header without magic":
        os.pwrite(shared.fd, b"\1" * 100, 8)
    shared.close_fd()
    assert Segment.create(segment_name, SegmentKind.WORDS, 64, 8).capacity == 64


def use_everything(segment: Segment) -> None:
    """What processes do with an attached segment. Errors with a sentence are answers, a crash is not."""
    quote = Quote()
    kind = segment.kind
    for use in USES[kind]:
        try:
            use(segment, quote)
        except (SegmentError, ValueError, IndexError, UnicodeError):
            continue


def _ring_reader(segment: Segment, quote: Quote) -> None:
    reader = BroadcastReader(segment)
    for _ in range(20):
        reader.poll()
        reader.drain(7)
    for kind in (RecordKind.QUOTE, RecordKind.TRADE):
        BroadcastReader(segment, from_sequence=1).drain(100, kind)
    assert len(reader.slots) == segment.capacity


def _lossless_reader(segment: Segment, quote: Quote) -> None:
    reader = LosslessReader(segment)
    for _ in range(20):
        reader.poll()
        reader.commit()


def _broadcast_writer(segment: Segment, quote: Quote) -> None:
    writer = BroadcastWriter(segment)
    for _ in range(40):
        writer.publish(quote)


def _lossless_writer(segment: Segment, quote: Quote) -> None:
    writer = LosslessWriter(segment)
    for _ in range(40):
        writer.try_publish(quote)


def _table(segment: Segment, quote: Quote) -> None:
    reader = TableReader(segment)
    for row in range(segment.capacity + 1):
        for cls in RECORD_CLASSES.values():
            reader.read(row, cls())
        TableWriter(segment).write(row, quote)


def _words(segment: Segment, quote: Quote) -> None:
    for index in range(segment.capacity + 1):
        Words(segment).store(index, 1)


def _counters(segment: Segment, quote: Quote) -> None:
    CountersReader(segment).snapshot()
    Counters(segment, ["a"], ["b"]).histogram("b").record(5)


USES: dict[SegmentKind, list[Callable[[Segment, Quote], None]]] = {
    SegmentKind.BROADCAST_RING: [_ring_reader, _broadcast_writer, _ring_reader],
    SegmentKind.LOSSLESS_RING: [_ring_reader, _lossless_reader, _lossless_writer],
    SegmentKind.JOURNAL: [_ring_reader, _broadcast_writer],
    SegmentKind.TABLE: [_table],
    SegmentKind.WORDS: [_words],
    SegmentKind.COUNTERS: [_counters],
    SegmentKind.NONE: [],
}
SHAPES = [
    (SegmentKind.BROADCAST_RING, 16, 128),
    (SegmentKind.LOSSLESS_RING, 16, 128),
    (SegmentKind.TABLE, 16, 128),
    (SegmentKind.WORDS, 64, 8),
    (SegmentKind.COUNTERS, 1, COUNTERS_STRIDE),
]
HEADER_FIELDS = [name for name in SEGMENT_HEADER.names or () if name != "name"]
WORDS_OF_INTEREST = st.one_of(
    st.integers(0, 2**64 - 1),
    st.sampled_from([0, 1, 2, 3, 7, 8, 63, 64, 65, 128, 4096, 2**31, 2**32, 2**63, 2**64 - 1]),
)


def fuzz_once(
    shape: tuple[SegmentKind, int, int], fields: dict[str, int], noise: list[tuple[int, int]], cut: int
) -> None:
    """In a child: a corrupted segment is refused in one sentence, or every use of it returns."""
    name = f"/corelane.fuzz{os.getpid()}"
    try:
        segment = Segment.create(name, *shape)
        words = np.frombuffer(segment.buffer, dtype="<u8")
        for offset, value in noise:
            words[HEADER_SIZE // 8 + offset % (len(words) - HEADER_SIZE // 8)] = value
        for field, value in fields.items():
            assert SEGMENT_HEADER.fields is not None
            bits = 8 * SEGMENT_HEADER.fields[field][0].itemsize
            segment.header[field] = value % (1 << bits - 1)
        if cut:
            os.truncate(file_of(name), max(0, len(words) * 8 - cut))
        del words
        try:
            attached = Segment.attach(name)
        except SegmentError as error:
            assert one_sentence(error)
            return
        assert not cut
        use_everything(attached)
    finally:
        Segment.remove(name)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.sampled_from(SHAPES),
    fields=st.dictionaries(st.sampled_from(HEADER_FIELDS), WORDS_OF_INTEREST, max_size=3),
    noise=st.lists(st.tuples(st.integers(0, 4000), WORDS_OF_INTEREST), max_size=12),
    cut=st.sampled_from([0, 0, 0, 1, 64, 4096, 10**6]),
)
def test_no_corruption_of_a_segment_crashes_a_process(
    shape: tuple[SegmentKind, int, int], fields: dict[str, int], noise: list[tuple[int, int]], cut: int
) -> None:
    with children() as start:
        start(fuzz_once, shape, fields, noise, cut).result(timeout_s=20)


@pytest.mark.parametrize(
    ("capacity", "stride"), [(0, 0), (1, 0), (2**32, 0), (64, 0), (2, 1024), (2048, 1), (0, 64), (2**63, 2**63)]
)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape[0].name)
def test_a_consistent_header_of_an_impossible_shape_is_refused(
    segment_name: str, shape: tuple[SegmentKind, int, int], capacity: int, stride: int
) -> None:
    segment = Segment.create(segment_name, *shape)
    size = HEADER_SIZE + capacity * stride
    segment.header["capacity"], segment.header["stride"] = capacity, stride
    segment.header["total_size"] = size % 2**64
    if size < 1 << 24:
        os.truncate(file_of(segment_name), size)
    try:
        attached = Segment.attach(segment_name)
    except SegmentError as error:
        assert one_sentence(error)
    else:
        # The one possible shape among them.
        assert (attached.kind, capacity, stride) in (
            (SegmentKind.BROADCAST_RING, 2, 1024),
            (SegmentKind.LOSSLESS_RING, 2, 1024),
            (SegmentKind.TABLE, 2, 1024),
        )


def test_a_segment_that_everybody_may_open_is_refused(segment_name: str) -> None:
    Segment.create(segment_name, SegmentKind.WORDS, 1, 8)
    for mode in (0o666, 0o604, 0o602):
        file_of(segment_name).chmod(mode)
        with pytest.raises(SegmentError, match=f"its mode is {mode:04o}, so everybody may open it"):
            Segment.attach(segment_name)
    file_of(segment_name).chmod(0o660)
    Segment.attach(segment_name)


def attach_as(user: int, group: int, name: str) -> str:
    """In a child without rights: what attaching says, or 'attached'."""
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)
    try:
        Segment.attach(name)
    except SegmentError as error:
        assert one_sentence(error)
        return str(error)
    return "attached"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_who_may_attach_is_owner_root_and_the_group(segment_name: str) -> None:
    Segment.create(segment_name, SegmentKind.WORDS, 1, 8, 0o660, NOBODY)
    with children() as start:
        assert start(attach_as, 1000, NOBODY, segment_name).result() == "attached"
        assert "cannot be opened" in start(attach_as, 1000, 1000, segment_name).result()
        # Of another user, but its group is ours and may write.
        os.chown(file_of(segment_name), 1001, 1000)
        assert start(attach_as, 1000, 1000, segment_name).result() == "attached"
        file_of(segment_name).chmod(0o640)
        assert "cannot be opened" in start(attach_as, 1000, 1000, segment_name).result()
        os.chown(file_of(segment_name), 1000, 1000)
        file_of(segment_name).chmod(0o600)
        assert start(attach_as, 1000, NOBODY, segment_name).result() == "attached"
        assert "cannot be opened" in start(attach_as, 1001, NOBODY, segment_name).result()


def test_the_mode_and_group_of_create_hold_whatever_the_umask(segment_name: str) -> None:
    before = os.umask(0o077)
    try:
        Segment.create(segment_name, SegmentKind.WORDS, 1, 8, 0o660, os.getegid())
    finally:
        os.umask(before)
    status = file_of(segment_name).stat()
    assert (status.st_mode & 0o777, status.st_gid) == (0o660, os.getegid())


def locked_after_limit(name: str) -> tuple[bool, list[str]]:
    """In a child that may lock nothing: does attaching work, and what is said."""
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
    if os.geteuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    texts: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            texts.append(record.getMessage())

    logging.getLogger("shm.segment").addHandler(Listener())
    segment_module._warned_of_limit = False
    Segment.attach(name)
    return Segment.attach(name).locked, texts


def test_a_memlock_limit_is_one_warning_and_no_obstacle(segment_name: str) -> None:
    Segment.create(segment_name, SegmentKind.WORDS, 1, 8)
    if os.geteuid() == 0:
        os.chown(file_of(segment_name), NOBODY, NOBODY)
    with children() as start:
        locked, texts = start(locked_after_limit, segment_name).result()
    assert not locked
    assert len(texts) == 1
    assert "the memlock limit of this process is 0 bytes" in texts[0]


def test_remove_tells_whether_there_was_something(segment_name: str) -> None:
    segment = Segment.create(segment_name, SegmentKind.WORDS, 1, 8)
    assert Segment.remove(segment_name)
    assert not Segment.remove(segment_name)
    Words(segment).store(0, 1)  # who has it mapped keeps it
    with pytest.raises(SegmentError, match="does not exist"):
        Segment.attach(segment_name)


def test_a_ring_outlives_the_close_of_its_segment_object(segment_name: str) -> None:
    segment = Segment.create(segment_name, SegmentKind.BROADCAST_RING, 8, 128)
    writer = BroadcastWriter(segment)
    segment.close()
    del segment
    assert writer.publish(Quote()) == 1


def test_close_unmaps_what_nobody_uses(segment_name: str) -> None:
    segment = Segment.create(segment_name, SegmentKind.WORDS, 1, 8)
    segment.close()
    segment.close()
    assert segment_name not in Path("/proc/self/maps").read_text()


def test_names_lists_by_prefix(segment_name: str) -> None:
    for suffix in ("b", "a"):
        Segment.create(segment_name + suffix, SegmentKind.WORDS, 1, 8)
    assert Segment.names(segment_name) == [segment_name + "a", segment_name + "b"]
