"""What a person must look at: said once, counted, shown while it stands."""

from __future__ import annotations

import logging

import pytest

from exchanges.alerts import ALERT_COUNTERS, STANDS_NS, AlertKind, Alerts
from tests.exchanges.order_world import Counters


class Host:
    def __init__(self) -> None:
        self.now = 5
        self.counters = Counters()
        self.delivered: list[tuple[AlertKind, str]] = []
        self.alerts = Alerts(self.counters.add, logging.getLogger("test.alerts"), lambda: self.now)
        self.alerts.on_alert = lambda kind, text: self.delivered.append((kind, text))


def test_the_same_thing_said_twice_is_one_alert(caplog: pytest.LogCaptureFixture) -> None:
    host = Host()
    for text in ("a is wrong", "a is wrong", "a is worse"):
        host.alerts.say(AlertKind.CLOCK, "a", text)
    assert host.alerts.text == "a is worse"
    assert host.counters["alert_clock"] == 2
    assert host.delivered == [(AlertKind.CLOCK, "a is wrong"), (AlertKind.CLOCK, "a is worse")]
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == [
        "alert: a is wrong", "alert: a is worse",
    ]  # fmt: skip


def test_one_stands_for_its_time_a_lasting_one_until_it_is_cleared() -> None:
    host = Host()
    host.alerts.say(AlertKind.MARGIN_CALL, "call", "margin call")
    host.alerts.say(AlertKind.ACCOUNT_SETTINGS, "leverage", "leverage is 5", lasting=True)
    assert host.alerts.text == "margin call; leverage is 5"
    host.now += STANDS_NS
    assert host.alerts.text == "leverage is 5"
    host.alerts.clear("leverage")
    host.alerts.clear("leverage")
    assert host.alerts.text == ""
    host.alerts.say(AlertKind.MARGIN_CALL, "call", "margin call")
    assert host.counters["alert_margin_call"] == 2, "it was over, so it is news again"


def test_every_kind_has_its_counter() -> None:
    assert ALERT_COUNTERS == ("alert_margin_call", "alert_account_settings", "alert_clock")
