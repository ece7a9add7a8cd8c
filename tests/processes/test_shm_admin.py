"""Segments are made all or none, listed, and not pulled from under a running set."""

from __future__ import annotations

import json

import msgspec
import pytest

from processes import shm_admin, shm_dump
from processes.exit_codes import ExitCode, Failure
from shm import host
from shm.limits import LimitWindow
from shm.lock import ProcessLock
from shm.records import OrderRequest
from shm.ring import LosslessWriter
from shm.segment import Segment, SegmentError


def test_making_is_idempotent_and_removing_removes_all(config):
    first = shm_admin.create(config)
    assert shm_admin.create(config) == first
    instance = shm_admin.instance_of(config)
    assert len(Segment.names(instance.segment_name(""))) == len(first)
    assert len(shm_admin.remove(config)) == len(first)
    assert Segment.names(instance.segment_name("")) == []
    assert shm_admin.remove(config) == []


def test_the_hosts_limits_are_made_shown_and_go_with_the_last_that_needs_them(config):
    shm_admin.create(config)
    instance = shm_admin.instance_of(config)
    venue = config.venues["binance"]
    name = host.limits_name("binance", venue.environment, venue.rest_url)
    kinds = {line.name: line.kind for line in shm_admin.listing(instance)}
    assert kinds[name] == "limits"
    table = instance.limits("binance", venue.environment, venue.rest_url)
    LimitWindow(table, "orders", 300, 10**10).take(5, 1000, True, 10**10)
    dumped = [json.loads(line) for line in shm_dump.lines(shm_admin.segment_of(instance, name))]
    assert [(row["name"], row["limit"], row["state"] & 0xFFFF) for row in dumped] == [("orders / 10000 ms", 300, 5)]
    assert name not in shm_admin.remove(config, force=True), "this process uses it"
    instance.close()
    shm_admin.create(config)
    shm_admin.remove(config)
    assert not Segment.names(name)


def test_a_running_process_keeps_the_segments(config):
    shm_admin.create(config)
    instance = shm_admin.instance_of(config)
    lock = ProcessLock(instance.lock_folder, "trader")
    assert shm_admin.running_processes(instance) == ["trader"]
    with pytest.raises(
        Failure, match=r"trader of instance .* still runs; stop the set first, or use --force"
    ) as caught:
        shm_admin.remove(config)
    assert caught.value.code is ExitCode.ALREADY_RUNNING
    assert shm_admin.remove(config, force=True)
    lock.release()
    assert shm_admin.running_processes(instance) == []


def test_the_listing_shows_what_waits_in_a_ring(config):
    shm_admin.create(config)
    instance = shm_admin.instance_of(config)
    writer = LosslessWriter(instance.segment("binance.requests"))
    for _ in range(3):
        assert writer.try_publish(OrderRequest())
    lines = {line.name.removeprefix(instance.segment_name("")): line for line in shm_admin.listing(instance)}
    assert (lines["binance.requests"].cursor, lines["binance.requests"].lag) == (3, 3)
    assert lines["binance.market"].lag is None
    assert lines["binance.books"].kind == "table"
    del writer
    instance.close()


def test_one_that_cannot_be_attached_is_listed_with_its_problem(config):
    import posix_ipc

    instance = shm_admin.instance_of(config)
    foreign = posix_ipc.SharedMemory(instance.segment_name("foreign"), posix_ipc.O_CREX, size=8192)
    foreign.close_fd()
    assert "is not corelane's" in shm_admin.listing(instance)[0].problem


def test_what_does_not_fit_leaves_nothing_behind(config):
    """/dev/shm too small: one sentence, and what was made before it is gone again."""
    venue = msgspec.structs.replace(config.venues["binance"], market_ring_slots=1 << 62)
    huge = msgspec.structs.replace(config, venues={"binance": venue})
    with pytest.raises(SegmentError, match="cannot be made"):
        shm_admin.create(huge)
    assert Segment.names(shm_admin.instance_of(config).segment_name("")) == []


def test_a_state_directory_that_cannot_be_made_is_one_sentence(config):
    file = shm_admin.instance_of(config).run_dir.parent / "a-file"
    file.write_text("")
    broken = msgspec.structs.replace(
        config, instance=msgspec.structs.replace(config.instance, state_dir=f"{file}/state")
    )
    with pytest.raises(Failure, match="Not a directory"):
        shm_admin.create(broken)
