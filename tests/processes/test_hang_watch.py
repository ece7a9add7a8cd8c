"""Silence is counted from the last heartbeat, and only while the one who counts was there to see it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from processes.hang_watch import LONGEST_LOOK_S, HangWatch


def test_silence_grows_while_the_heartbeat_stays_and_ends_with_the_next() -> None:
    watch = HangWatch()
    assert [watch.look(7, 100.0 + second / 2) for second in range(4)] == [0.0, 0.5, 1.0, 1.5]
    assert watch.look(8, 102.0) == 0.0
    assert watch.look(8, 102.5) == 0.5


def test_one_who_stood_still_himself_takes_nobody_for_hung() -> None:
    watch = HangWatch()
    watch.look(7, 100.0)
    assert watch.look(7, 3_700.0) == LONGEST_LOOK_S


@given(st.lists(st.tuples(st.booleans(), st.floats(0.0, 5.0)), max_size=30))
def test_silence_is_never_more_than_the_time_since_the_last_heartbeat(steps: list[tuple[bool, float]]) -> None:
    watch, beat, now, beaten = HangWatch(), 1, 50.0, 50.0
    watch.look(beat, now)
    for beats, seconds in steps:
        now += seconds
        if beats:
            beat, beaten = beat + 1, now
        silent = watch.look(beat, now)
        assert 0.0 <= silent <= now - beaten + 1e-9
        assert not beats or silent == 0.0
