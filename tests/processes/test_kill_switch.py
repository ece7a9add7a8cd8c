"""On is on: across restarts, without segments, and when the file cannot be read."""

from __future__ import annotations

from processes import shm_admin
from processes.kill_switch import KillSwitch, echoes, is_on, of_instance
from shm.layout import ProcessState, Word
from shm.records import ProcessRow
from shm.table import TableWriter, Words


def test_it_persists_without_any_segment(directory):
    switch = KillSwitch(directory)
    assert not is_on(switch.generation())
    assert switch.set(True) == 1
    assert is_on(KillSwitch(directory).generation())
    assert switch.set(True) == 1
    assert switch.set(False) == 2
    assert not is_on(KillSwitch(directory).generation())


def test_a_file_that_says_nothing_means_on(directory):
    for content in (b"", b"banana", b"\xff\xff"):
        (directory / "kill_switch").write_bytes(content)
        assert is_on(KillSwitch(directory).generation())


def test_creating_the_segments_loads_the_word(config):
    instance = shm_admin.instance_of(config)
    KillSwitch(instance.state_dir).set(True)
    shm_admin.create(config)
    assert Words(instance.segment("words")).load(Word.KILL_SWITCH) == 1
    instance.close()


def test_creating_again_never_turns_a_running_word_off(config):
    shm_admin.create(config)
    instance = shm_admin.instance_of(config)
    Words(instance.segment("words")).store(Word.KILL_SWITCH, 5)
    shm_admin.create(config)
    assert of_instance(instance).generation() == 5
    instance.close()


def test_only_engines_that_run_are_asked_for_their_echo(config):
    import os

    shm_admin.create(config)
    instance = shm_admin.instance_of(config)
    number = instance.process_row("trading_engine.binance")
    writer = TableWriter(instance.segment("status"), row=number)
    row = ProcessRow()
    row.pid, row.state, row.kill_switch_echo = os.getpid(), int(ProcessState.READY), 3
    writer.write(number, row)
    assert echoes(instance) == {"trading_engine.binance": 3}
    row.state = int(ProcessState.STOPPED)
    writer.write(number, row)
    assert echoes(instance) == {}
    instance.close()
