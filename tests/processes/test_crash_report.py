"""The file that a crashed process leaves."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from processes import crash_report, shm_admin
from processes.config import Config, load_config
from shm.layout import RecordKind
from shm.records import ProcessRow, Quote
from shm.ring import BroadcastWriter


def failed() -> BaseException:
    try:
        raise RuntimeError("nobody foresaw this")
    except RuntimeError as error:
        return error


def written(config: Config) -> Path:
    instance = shm_admin.instance_of(config)
    try:
        path = crash_report.write("trader", config, instance, ProcessRow(), failed())
    finally:
        instance.close()
    assert path is not None
    return path


def test_it_holds_the_newest_records_of_the_rings_that_the_process_had_attached(config):
    shm_admin.create(config)
    instance = shm_admin.instance_of(config)
    ring = BroadcastWriter(instance.segment("binance.market"))
    instance.segment("binance.books")
    for number in range(100):
        quote = Quote()
        quote.bid_price = float(number)
        ring.publish(quote)
    path = crash_report.write("trader", config, instance, ProcessRow(), failed())
    instance.close()
    assert path is not None
    found = json.loads(path.read_text())
    assert list(found["rings"]) == ["binance.market"]
    prices = [record["bid_price"] for record in found["rings"]["binance.market"]]
    assert prices == [float(number) for number in range(100 - crash_report.RECORDS, 100)]
    assert found["rings"]["binance.market"][0]["kind"] == RecordKind.QUOTE.name
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_cannot_be_read_is_said_and_the_rest_stands(config):
    found = json.loads(written(config).read_text())  # no segment was ever made
    assert found["counters"].startswith("not readable: SegmentError")
    assert found["traceback"][-1] == "RuntimeError: nobody foresaw this"
    assert found["config"]["instance"]["name"] == config.instance.name
    assert {"python", "corelane", "layout", "kernel"} <= found["versions"].keys()


def test_no_secret_gets_into_it(write_config):
    config = load_config(
        write_config(
            """
[[strategies]]
id = 1
name = "mine"
module = "strategy.market_making:MarketMakingStrategy"
instruments = ["binance:BTCUSDT"]
parameters = { api_key = "abc-123", order_quantity = 1.0 }
[strategies.limits]
max_order_quantity = "1"
max_order_notional = "1"
max_position = "1"
max_orders_per_second = 1.0
max_open_orders = 1
max_loss = "1"
"""
        )
    )
    text = written(config).read_text()
    assert "abc-123" not in text
    assert json.loads(text)["config"]["strategies"][0]["parameters"]["order_quantity"] == 1.0
    shown = crash_report.without_secrets({"rest_url": "https://me:mine@venue/x", "credentials": "binance-main"})
    assert shown == {"rest_url": "https://venue/x", "credentials": "binance-main"}


def test_only_the_newest_are_kept(config, monkeypatch):
    monkeypatch.setattr(crash_report, "KEPT", 3)
    paths = [written(config) for _ in range(5)]
    assert sorted(paths[0].parent.iterdir()) == sorted(paths[-3:])


def test_a_place_that_cannot_be_written_gives_no_path_and_no_second_error(config, directory):
    (directory / "state").mkdir()
    (directory / "state" / "crashes").write_text("in the way")
    instance = shm_admin.instance_of(config)
    assert crash_report.write("trader", config, instance, ProcessRow(), failed()) is None
    instance.close()


@pytest.mark.parametrize("name", ["secret", "API_KEY", "apiKey", "password", "token", "private_key"])
def test_names_of_secrets_are_known(name):
    assert crash_report.without_secrets({name: "x"}) == {name: "(left out)"}
