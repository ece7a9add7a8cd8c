"""Timers come due in order, move, repeat, end, and never pile up."""

from strategy.timers import Timers


def test_timers_are_due_in_the_order_of_their_time() -> None:
    timers: Timers[str] = Timers()
    for name, due in (("c", 30), ("a", 10), ("b", 20)):
        timers.set("s", name, due)
    assert timers.next_ns == 10
    assert list(timers.due(20)) == [("s", "a"), ("s", "b")]
    assert timers.next_ns == 30 and list(timers.due(29)) == []


def test_setting_a_name_again_moves_the_timer() -> None:
    timers: Timers[str] = Timers()
    timers.set("s", "a", 10)
    timers.set("s", "a", 50)
    assert list(timers.due(49)) == [] and list(timers.due(50)) == [("s", "a")] and list(timers.due(99)) == []


def test_a_canceled_timer_is_not_due_and_an_unknown_name_is_no_error() -> None:
    timers: Timers[str] = Timers()
    timers.set("s", "a", 10)
    timers.set("t", "a", 10)
    timers.cancel("s", "a")
    timers.cancel("s", "never")
    assert list(timers.due(10)) == [("t", "a")]
    timers.set("s", "b", 20)
    timers.set("t", "b", 20)
    timers.cancel_all("s")
    assert list(timers.due(20)) == [("t", "b")]


def test_a_repeating_timer_that_fell_behind_fires_once_and_goes_on_from_now() -> None:
    timers: Timers[str] = Timers()
    timers.set("s", "a", 10, interval_ns=10)
    assert list(timers.due(10)) == [("s", "a")] and timers.next_ns == 20
    assert list(timers.due(95)) == [("s", "a")] and timers.next_ns == 105


def test_a_timer_set_inside_its_own_call_is_kept() -> None:
    timers: Timers[str] = Timers()
    timers.set("s", "a", 10)
    for owner, name in timers.due(10):
        timers.set(owner, name, 30)
    assert timers.next_ns == 30 and list(timers.due(30)) == [("s", "a")]
