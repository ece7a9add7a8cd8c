"""One difference anywhere, and the report says DIFFER."""

from __future__ import annotations

import copy
import json
from decimal import Decimal

import pytest

from processes import demo_report, demo_venue
from processes.demo_books import Money, OrderCounts
from processes.demo_report import DemoReport, VenueReport
from processes.exit_codes import ExitCode, Failure

ACCOUNT = {
    "fees": "1.50000000",
    "realized_pnl": "-0.25",
    "unrealized_pnl": "0",
    "positions": {"BTCUSDT": {"quantity": "0.010", "mark": "60000.12345678"}},
    "orders": [
        {"order_id": 7, "state": "FILLED", "filled": "0.010", "open": False, "client_order_id": "1", "create_time": 1},
        {
            "order_id": 8,
            "state": "EXPIRED_IN_MATCH",
            "filled": "0.000",
            "open": False,
            "client_order_id": "2",
            "create_time": 2,
        },
        {"order_id": 9, "state": "NEW", "filled": "0", "open": True, "client_order_id": "3", "create_time": 3},
    ],
    "trades": [{"symbol": "BTCUSDT", "trade_id": 100}],
}


@pytest.fixture
def report() -> DemoReport:
    truth = demo_venue.parse(copy.deepcopy(ACCOUNT), ("BTCUSDT",))
    ours = Money({"BTCUSDT": Decimal("0.01")}, Decimal("1.5"), Decimal("-0.250"), Decimal(0))
    orders = {("7", "FILLED", Decimal("0.01")), ("8", "EXPIRED", Decimal(0)), ("9", "OPEN", Decimal(0))}
    trades = {("BTCUSDT", "100")}
    venue = VenueReport(ours, truth.money, OrderCounts(3, 3, 1, 0, 0), orders, truth.orders, trades, truth.trades, 0)
    return DemoReport(seconds=60.0, seed=1, venues={"binance": venue})


def test_the_venues_words_become_ours():
    truth = demo_venue.parse(ACCOUNT, ("BTCUSDT", "ETHUSDT"))
    assert truth.money.position == {"BTCUSDT": Decimal("0.01"), "ETHUSDT": Decimal(0)}
    assert ("8", "EXPIRED", Decimal(0)) in truth.orders
    assert truth.open_orders == 1
    assert truth.marks == {"BTCUSDT": Decimal("60000.12345678")}


def test_equal_books_agree_whatever_their_zeros_look_like(report):
    assert report.agree
    assert "AGREE" in demo_report.in_words(report)


@pytest.mark.parametrize(
    "change",
    [
        lambda venue: venue.ours.position.update(BTCUSDT=Decimal("0.011")),
        lambda venue: setattr(venue.ours, "fees", Decimal("1.50000001")),
        lambda venue: setattr(venue.ours, "realized_pnl", Decimal("-0.25000001")),
        lambda venue: setattr(venue.venue, "unrealized_pnl", Decimal("1e-8")),
        lambda venue: venue.own_trades.add(("BTCUSDT", "101")),
        lambda venue: venue.venue_trades.add(("BTCUSDT", "101")),
        lambda venue: venue.own_orders.discard(("7", "FILLED", Decimal("0.01"))),
        lambda venue: setattr(venue, "open_orders_left", 1),
    ],
)
def test_one_difference_anywhere_makes_them_differ(report, change):
    change(report.venues["binance"])
    assert not report.agree
    assert demo_report.as_json(report)["agree"] is False
    assert "DIFFER" in demo_report.in_words(report)


@pytest.mark.parametrize("left", ["processes_left", "segments_left"])
def test_what_is_left_behind_makes_it_fail(report, left):
    setattr(report, left, 1)
    assert not report.agree


def test_a_strategy_that_failed_makes_it_fail_even_where_the_books_agree(report):
    assert report.good
    report.failed_strategies["mine"] = "ValueError: no (mine.py:12)"
    assert report.agree and not report.good
    assert "strategy mine was stopped: ValueError: no (mine.py:12)" in demo_report.in_words(report)
    assert demo_report.as_json(report)["failed_strategies"] == report.failed_strategies


def test_a_run_without_any_venue_agrees_with_nothing():
    assert not DemoReport(seconds=1.0, seed=1).agree


def test_the_json_has_every_promised_key(report, tmp_path):
    report.latency_ns = {"publish_to_poll": {"count": 1, "p50": 1, "p90": 1, "p99": 1, "p999": 1, "max": 1}}
    report.restarts = {"trader": 0}
    report.add_faults({"silence": {"injected": 1, "with_order_in_flight": 0}})
    report.add_faults({"silence": {"injected": 2, "with_order_in_flight": 1}})
    path = tmp_path / "demo.json"
    demo_report.write(report, path)
    found = json.loads(path.read_text())
    assert {
        "agree",
        "seconds",
        "seed",
        "processes_left",
        "segments_left",
        "venues",
        "latency_ns",
        "restarts",
        "faults",
    } <= set(found)
    venue = found["venues"]["binance"]
    assert set(venue) >= {
        "frames", "gaps", "book_checks", "book_agree", "orders", "fills", "reconcile_corrections", "orders_differ",
        "trades_differ", "ours", "venue", "open_orders_left",
    }  # fmt: skip
    assert set(venue["orders"]) == {
        "sent", "accepted", "filled", "canceled", "rejected", "unknown_settled_executed", "unknown_settled_absent",
    }  # fmt: skip
    assert venue["ours"] == venue["venue"] == {
        "position": {"BTCUSDT": "0.01"}, "fees": "1.5", "realized_pnl": "-0.25", "unrealized_pnl": "0",
    }  # fmt: skip
    assert found["faults"] == {"silence": {"injected": 3, "with_order_in_flight": 1}}


@pytest.mark.parametrize(
    ("value", "text"), [("0.0100", "0.01"), ("-0", "0"), ("1E+3", "1000"), ("-1.5e-7", "-0.00000015"), ("100", "100")]
)
def test_the_same_number_is_the_same_text(value, text):
    assert demo_report.show(Decimal(value)) == text


def test_a_simulator_that_is_gone_is_one_sentence():
    with pytest.raises(Failure, match="the simulator did not answer usefully") as caught:
        demo_venue.truth("http://127.0.0.1:1", ("BTCUSDT",))
    assert caught.value.code is ExitCode.VENUE


def test_the_legs_of_a_replaced_order_stand_as_one_open_order_with_what_all_traded() -> None:
    first, second, other = 5 << 32 | 7, 5 << 32 | 1 << 24 | 7, 5 << 32 | 8
    legs = [
        {"order_id": "0xa1", "client_order_id": str(first), "state": "CANCELED", "filled": "0.2", "open": False},
        {"order_id": "0xa2", "client_order_id": str(other), "state": "FILLED", "filled": "1", "open": False},
        {"order_id": "0xa3", "client_order_id": str(second), "state": "NEW", "filled": "0.3", "open": True},
    ]
    one, whole = demo_venue.whole_orders(legs)
    assert (one["order_id"], one["client_order_id"], one["filled"]) == ("0xa2", str(other), Decimal(1))
    assert (whole["order_id"], whole["client_order_id"], whole["state"]) == ("0xa3", str(first), "NEW")
    assert (whole["filled"], whole["open"]) == (Decimal("0.5"), True)


def test_an_order_whose_earlier_leg_is_still_open_is_open_and_orders_of_other_venues_stand_for_themselves() -> None:
    legs = [
        {"order_id": "0xb1", "client_order_id": "7", "state": "NEW", "filled": "0", "open": True},
        {"order_id": "0xb2", "client_order_id": str(1 << 24 | 7), "state": "CANCELED", "filled": "0", "open": False},
        {"order_id": 11, "client_order_id": "7", "state": "NEW", "filled": "0", "open": True},
        {"order_id": 12, "client_order_id": str(1 << 24 | 7), "state": "NEW", "filled": "0", "open": True},
    ]
    found = demo_venue.whole_orders(legs)
    assert [(one["order_id"], one["client_order_id"], one["open"]) for one in found] == [
        ("0xb2", "7", True),
        (11, "7", True),
        (12, str(1 << 24 | 7), True),
    ]
