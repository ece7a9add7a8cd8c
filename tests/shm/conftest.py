"""Segments and instances of the shm tests: unique names, and nothing left in /dev/shm in any outcome."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shm.instance import Instance
from shm.layout import RecordKind, SegmentKind, slot_stride
from shm.segment import Segment

MakeSegment = Callable[..., Segment]


@pytest.fixture
def segment_name() -> Iterator[str]:
    """A name that no other test and no running instance uses; unlinked afterwards if it was made."""
    name = f"/corelane.test{os.getpid()}-{uuid.uuid4().hex[:12]}.x"
    yield name
    for left in Segment.names(name):
        Segment.remove(left)


@pytest.fixture
def make_segment(segment_name: str) -> MakeSegment:
    """make_segment(kind, capacity, *record kinds) -> a new segment."""
    made = 0

    def make(kind: SegmentKind, capacity: int, *kinds: RecordKind, stride: int | None = None) -> Segment:
        nonlocal made
        made += 1
        return Segment.create(f"{segment_name}{made}", kind, capacity, stride or slot_stride(*kinds))

    return make


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    """An instance of its own, without segments yet; whatever was made under its name is removed."""
    result = Instance(f"test{os.getpid()}-{uuid.uuid4().hex[:8]}", 1, tmp_path / "run", tmp_path / "state")
    yield result
    result.close()
    result.remove()
