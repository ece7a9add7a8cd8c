"""Live actions: read with their line numbers, done when due and an order is open, told with what came of them."""

from __future__ import annotations

from typing import Any

import pytest

from processes.control import ControlError
from processes.demo_script import ORDER_PATIENCE_S, RESTART_PATIENCE_S, Action, ScriptRunner, in_words, read
from processes.exit_codes import ExitCode, Failure

MEASURED = {
    "open_orders_before": 2,
    "kept_orders": 2,
    "stood_still_ms": 812.0,
    "without_quotes_ms": 0.0,
    "over": True,
}


def test_a_file_is_read_in_the_order_of_time_without_its_comments(tmp_path):
    file = tmp_path / "live.txt"
    file.write_text("# what happens\n9 restart --keep\n\n2.5 set-param mm 'size=0.5' # in the middle\n")
    assert read(file) == [
        Action(2.5, "set-param", {"strategy": "mm", "size": 0.5}, "set-param mm size=0.5"),
        Action(9.0, "restart", {"orders": "keep"}, "restart --keep"),
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("five restart", "line 2: found 'five', expected the second of the run"),
        ("5", "line 2: found '5', expected a second and a command"),
        ("5 restart now", "line 2: argument 'now': expected key=value"),
        ("5 set-param 'mm", "line 2: No closing quotation"),
    ],
)
def test_a_bad_line_is_one_sentence(tmp_path, line, words):
    file = tmp_path / "live.txt"
    file.write_text(f"1 pause\n{line}\n")
    with pytest.raises(Failure, match=words) as caught:
        read(file)
    assert caught.value.code is ExitCode.CONFIG
    with pytest.raises(Failure, match=r"gone\.txt cannot be read"):
        read(tmp_path / "gone.txt")


class Trader:
    """The trader of a demo, played."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.open_orders = 2
        self.answer: dict[str, Any] = {}
        self.refuses = ""
        self.measured: dict[str, Any] | None = None

    def ask(self, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if self.refuses:
            raise ControlError(self.refuses)
        self.asked.append((command, arguments))
        return self.answer

    def run(self, *actions: Action) -> ScriptRunner:
        return ScriptRunner(
            list(actions),
            ask=self.ask,
            look_at_restart=lambda pid: self.measured if pid == 17 else None,
            open_orders=lambda: self.open_orders,
        )


def test_an_action_waits_for_its_second_and_for_an_open_order():
    trader = Trader()
    trader.open_orders = 0
    runner = trader.run(Action(2.0, "pause", {}, "pause"))
    runner.poll(1.9)
    trader.open_orders = 3
    runner.poll(1.99)
    trader.open_orders = 0
    runner.poll(2.1)
    assert trader.asked == []
    trader.open_orders = 1
    runner.poll(2.2)
    runner.poll(2.3)
    assert trader.asked == [("pause", {})]
    assert [(one.at_s, one.open_orders, one.good) for one in runner.outcomes] == [(2.2, 1, True)]


def test_an_order_that_never_comes_is_not_waited_for_for_ever():
    trader = Trader()
    trader.open_orders = 0
    runner = trader.run(Action(2.0, "pause", {}, "pause"))
    runner.poll(2.0 + ORDER_PATIENCE_S)
    assert trader.asked == [("pause", {})]


def test_a_refused_action_is_told_and_the_next_one_is_done():
    trader = Trader()
    runner = trader.run(Action(1.0, "a", {}, "a"), Action(2.0, "b", {}, "b"))
    trader.refuses = "trader: not today"
    runner.poll(1.0)
    trader.refuses = ""
    runner.poll(2.0)
    assert [one.good for one in runner.outcomes] == [False, True]
    assert in_words(runner.outcomes) == [
        "     1.0 s  a (2 orders open): FAILED: trader: not today",
        "     2.0 s  b (2 orders open): done",
    ]


def test_a_restart_is_followed_to_its_end_before_anything_else_is_done():
    trader = Trader()
    trader.answer = {"restarting": True, "pid": 17}
    runner = trader.run(Action(1.0, "restart", {}, "restart"), Action(1.5, "b", {}, "b"))
    runner.poll(1.0)
    runner.poll(3.0)
    assert len(trader.asked) == 1
    trader.measured = MEASURED
    runner.poll(3.1)
    assert runner.outcomes[0].text == (
        "2 of 2 orders were kept, 0.00 s without quotes, strategies stood still for 0.81 s"
    )
    trader.answer = {}
    runner.poll(3.2)
    assert [command for command, _ in trader.asked] == ["restart", "b"]


def test_a_restart_that_does_not_end_and_actions_that_came_too_late_are_failures():
    trader = Trader()
    trader.answer = {"restarting": True, "pid": 17}
    runner = trader.run(Action(1.0, "restart", {}, "restart"), Action(2.0, "restart", {}, "restart"))
    runner.poll(1.0)
    runner.poll(1.1 + RESTART_PATIENCE_S)
    runner.poll(40.0)
    runner.stop()
    trader.run(Action(50.0, "b", {}, "b")).stop()
    assert [one.text for one in runner.outcomes] == [
        "no quotes again after 30 s",
        "was not over at the end of the trading",
    ]
    late = trader.run(Action(50.0, "b", {}, "b"))
    late.stop()
    assert [(one.good, one.text) for one in late.outcomes] == [(False, "the trading ended before it")]
