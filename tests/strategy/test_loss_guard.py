"""The loss limit over a day, over restarts, over a file that cannot be read; and the one way out of it."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from strategy.limits import Limits as LimitsProtocol
from strategy.loss_guard import DAY_NS, UNKNOWN, UNKNOWN_PATIENCE_NS, LossGuard
from strategy.risk import StrategyRisk
from strategy.risk_state import SAVE_EVERY_NS, RiskState
from tests.strategy.world import Limits, make_instrument

DOLLAR = 10**8
LIMITS = replace(Limits(), max_loss="100")


class Day:
    """A strategy's guard over several lives of its trader, with one clock and one file."""

    def __init__(self, path: Path, limits: LimitsProtocol | None = LIMITS) -> None:
        self.path = path
        self.limits = limits
        self.now = 20_000 * DAY_NS + 3600 * 10**9
        self.start()

    def start(self) -> None:
        self.risk = StrategyRisk(self.limits, [make_instrument()])
        self.state = RiskState(self.path)
        self.guard = LossGuard(self.risk, self.state, 1, lambda: self.now)

    def profit(self, dollars: float, open_loss: float = 0.0, taken_over: float = 0.0) -> bool:
        return self.guard.update(round(dollars * DOLLAR), round(open_loss * DOLLAR), round(taken_over * DOLLAR))


@pytest.fixture
def day(tmp_path: Path) -> Day:
    return Day(tmp_path / "state" / "strategy_risk.json")


def test_the_limit_itself_is_allowed_and_the_last_digit_beyond_it_trips_once(day: Day) -> None:
    assert not day.profit(-100) and not day.guard.tripped
    assert day.profit(-100.00000001) and "loss limit of 100" in day.risk.blocked
    assert not day.profit(-500), "once"
    assert not day.profit(50) and day.guard.tripped, "losses do not heal by themselves"


def test_the_worse_end_counts_and_the_day_keeps_what_was_really_made(day: Day) -> None:
    assert day.profit(-60, open_loss=-41)
    assert day.guard.day_profit == -60 * DOLLAR


def test_a_trip_is_on_the_disk_at_once_and_outlives_the_trader_and_the_day(day: Day) -> None:
    day.profit(-101)
    day.start()
    assert day.guard.tripped and "loss limit of 100" in day.risk.blocked
    day.now += DAY_NS
    assert not day.profit(0) and day.guard.tripped


def test_the_loss_of_the_day_goes_on_after_a_restart(day: Day) -> None:
    day.profit(-70)
    day.state.save()
    day.start()
    assert not day.profit(-30)
    assert day.guard.day_profit == -100 * DOLLAR
    assert day.profit(-31)


def test_what_a_position_had_lost_before_it_was_taken_over_is_not_lost_twice(day: Day) -> None:
    day.profit(-70)
    day.state.save()
    day.start()
    assert not day.profit(-70, taken_over=-70)
    assert day.guard.day_profit == -70 * DOLLAR
    assert day.profit(-101, taken_over=-70)


def test_a_new_day_begins_at_nothing(day: Day) -> None:
    day.profit(-90)
    day.now += DAY_NS
    assert not day.profit(-90) and day.guard.day_profit == 0
    assert not day.profit(-190) and day.profit(-191)


def test_a_trader_that_starts_on_another_day_carries_nothing_over(day: Day) -> None:
    day.profit(-90)
    day.state.save()
    day.now += DAY_NS
    day.start()
    assert not day.profit(-20) and day.guard.day_profit == -20 * DOLLAR


def test_a_clock_that_steps_back_does_not_forgive_the_day(day: Day) -> None:
    day.profit(-90)
    day.now -= 2 * DAY_NS
    assert day.profit(-101)


def test_a_reset_lifts_the_trip_and_counts_from_there(day: Day) -> None:
    day.profit(-150)
    day.guard.reset()
    assert not day.guard.tripped and day.risk.blocked == ""
    assert not day.profit(-150) and not day.profit(-250)
    assert day.profit(-251)
    day.guard.reset()
    day.start()
    assert not day.guard.tripped and day.guard.day_profit == 0


@pytest.mark.parametrize(
    "content",
    [b"", b"nonsense", b"[]", b'{"version": 2, "strategies": {}}', b'{"version": 1, "strategies": {"1": {"day": "x"}}}',
     b'{"version": 1, "strategies": {"1": {"more": 1}}}', b"\xff\xfe"],
)  # fmt: skip
def test_a_file_that_cannot_be_read_trips_every_strategy_until_it_is_reset(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "strategy_risk.json"
    path.write_bytes(content)
    day = Day(path)
    assert "cannot be read" in day.risk.blocked and "cannot be read" in caplog.text
    assert not day.profit(0) and day.guard.tripped
    day.state.save()
    assert path.with_suffix(".unreadable").read_bytes() == content
    day.start()
    assert day.guard.tripped, "written anew, it still says so"
    day.guard.reset()
    day.start()
    assert not day.guard.tripped


def test_a_folder_where_the_file_should_be_trips_too(tmp_path: Path) -> None:
    (tmp_path / "risk.json").mkdir()
    assert Day(tmp_path / "risk.json").guard.tripped


def test_a_missing_file_is_a_fresh_start(day: Day) -> None:
    assert not day.guard.tripped and day.risk.blocked == ""


def test_a_profit_that_nobody_can_tell_blocks_new_risk_after_a_while_and_frees_it_again(day: Day) -> None:
    assert not day.guard.update(None, None, None) and day.risk.blocked == ""
    day.now += UNKNOWN_PATIENCE_NS
    day.guard.update(None, None, None)
    assert day.risk.blocked == UNKNOWN and not day.guard.tripped
    assert not day.profit(0) and day.risk.blocked == ""
    day.guard.update(0, None, 0)
    day.now += UNKNOWN_PATIENCE_NS - 1
    day.guard.update(0, None, 0)
    assert day.risk.blocked == "", "the patience begins anew"


def test_without_limits_nothing_trips_because_nothing_may_be_sent(tmp_path: Path) -> None:
    day = Day(tmp_path / "risk.json", limits=None)
    assert not day.profit(-(10**6)) and day.guard.day_profit == -(10**6) * DOLLAR


def test_lowered_limits_count_from_the_next_look_on(day: Day) -> None:
    assert not day.profit(-50)
    day.risk.set_limits(replace(LIMITS, max_loss="40"))
    assert day.profit(-50)


def test_the_loop_writes_the_days_profit_every_few_seconds_and_only_where_it_moved(day: Day) -> None:
    day.profit(-1)
    day.state.save_if_due(SAVE_EVERY_NS)
    written = day.path.stat()
    assert json.loads(day.path.read_text())["strategies"]["1"]["profit"] == -DOLLAR
    day.profit(-2)
    day.state.save_if_due(SAVE_EVERY_NS + 1)
    assert json.loads(day.path.read_text())["strategies"]["1"]["profit"] == -DOLLAR, "not yet"
    day.profit(-1)
    day.state.save_if_due(3 * SAVE_EVERY_NS)
    assert day.path.stat().st_ino == written.st_ino, "nothing moved, nothing was written"
    assert not list(day.path.parent.glob("*.new"))


def test_a_disk_that_refuses_is_said_and_trading_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    assert stat.S_ISREG(blocked.stat().st_mode)
    day = Day.__new__(Day)
    day.limits, day.now, day.path = LIMITS, 20_000 * DAY_NS, tmp_path / "risk.json"
    day.start()
    day.state._path = blocked / "risk.json"
    assert day.profit(-101) and day.guard.tripped and "cannot be written" in caplog.text
