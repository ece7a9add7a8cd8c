"""The trader as a process: real segments, a real child, and an engine, market and account played by the test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from processes import shm_admin, trader_restart
from processes.config import Config, load_config
from processes.control import ask
from processes.exit_codes import ExitCode
from shm.clock import monotonic_ns
from shm.counters import CountersReader
from shm.instance import Instance
from shm.layout import (
    ContractKind,
    EventType,
    FillPart,
    InstrumentStatus,
    OrderState,
    ProcessState,
    RecoveryPhase,
    RequestType,
    Venue,
    Word,
)
from shm.records import BookRow, InstrumentRow, OrderEvent, OrderRequest, ProcessRow, Quote, Recovery
from shm.ring import BroadcastWriter, LosslessReader, LosslessWriter
from shm.table import TableReader, TableWriter, Words

ROOT = Path(__file__).parent.parent.parent
PATIENCE_S = 60.0

STRATEGY = """
[[strategies]]
id = 1
name = "one"
module = "one.py:One"
instruments = ["binance:BTCUSDT"]
parameters = {{ price = 59000.0 }}

[strategies.limits]
max_order_quantity = "1"
max_order_notional = "100000"
max_position = "2"
max_orders_per_second = 1000.0
max_open_orders = 10
max_loss = "1000"

[cores]
trader = {{ wait = "{wait}" }}
"""

MAIN = """
import sys
from processes import trader
from processes.app_service import AppService
from processes.config import load_config
service = AppService("trader", load_config(sys.argv[1]))
sys.exit(service.live(lambda: trader.run(service)))
"""

# One order on the first quote, again whenever it is gone.
CODE = """
import msgspec
from strategy.abstract_strategy import AbstractStrategy

class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    price: float

class One(AbstractStrategy):
    Parameters = Parameters
    def on_quote(self, quote):
        if not self.orders:
            self.buy(self.instruments[0], self.parameters.price, 0.01, post_only=True)
"""


class Surroundings:
    """Market server, trading engine and position server in one thread: heartbeats, quotes, and an obedient venue."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        segment = instance.segment
        self.market = BroadcastWriter(segment("binance.market"))
        self.events = LosslessWriter(segment("binance.events"), reserve=False)
        self.requests = LosslessReader(segment("binance.requests"))
        self.books = TableWriter(segment("binance.books"))
        self.btc = instance.instruments("binance").id("BTCUSDT")
        self.status = {
            f"{role}.binance": TableWriter(segment("status"), row=instance.process_row(f"{role}.binance"))
            for role in ("market_server", "trading_engine", "position_server")
        }
        self.epoch = 0
        self.taken: list[OrderRequest] = []
        self.answers_cancels = True
        self.open: dict[int, OrderRequest] = {}
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        row = InstrumentRow()
        row.instrument_id, row.venue, row.status = self.btc, Venue.BINANCE, InstrumentStatus.TRADING
        row.contract_kind, row.price_scale, row.quantity_scale = ContractKind.LINEAR_PERPETUAL, 2, 3
        row.tick_size, row.lot_size, row.minimum_quantity, row.contract_size = 10, 1, 1, 10**8
        row.symbol, row.quote_currency, row.settle_currency = b"BTCUSDT", b"USDT", b"USDT"
        TableWriter(segment("binance.instruments")).write(self.btc & 0xFFFF, row)
        self.beat()

    def run(self) -> None:
        while not self.stopping.wait(0.002):
            self.beat()
            while (request := self.requests.poll()) is not None:
                self.taken.append(request.copy())
                self.answer(self.taken[-1])
            self.requests.commit()

    def beat(self) -> None:
        now = monotonic_ns()
        for process, writer in self.status.items():
            row = ProcessRow()
            row.process, row.state, row.pid = process.encode(), ProcessState.READY, 1
            row.heartbeat_time_ns, row.start_time_ns, row.accepted_trader_epoch = now, 1, self.epoch
            writer.write(self.instance.process_row(process), row)
        book = BookRow()
        book.instrument_id, book.valid, book.bid_count, book.ask_count = self.btc, 1, 1, 1
        book.bid_prices[0], book.ask_prices[0], book.receive_time_ns = 60000.0, 60000.1, now
        self.books.write(self.btc & 0xFFFF, book)
        quote = Quote()
        quote.instrument_id, quote.venue, quote.receive_time_ns = self.btc, Venue.BINANCE, now
        quote.bid_price, quote.ask_price, quote.bid_quantity, quote.ask_quantity = 60000.0, 60000.1, 1.0, 1.0
        self.market.publish(quote)

    def answer(self, request: OrderRequest) -> None:
        match request.request_type:
            case RequestType.RECOVER:
                self.epoch = request.epoch
                self.beat()
                for phase in (RecoveryPhase.BEGIN, RecoveryPhase.END):
                    record = Recovery()
                    record.phase, record.nonce, record.venue = phase, request.request_id, Venue.BINANCE
                    self.events.try_publish(record)
                    if phase == RecoveryPhase.BEGIN:
                        for order in self.open.values():
                            self.tell(EventType.STATUS, order, order_state=OrderState.OPEN)
            case RequestType.NEW:
                self.open[request.client_order_id] = request
                self.tell(EventType.ACCEPTED, request)
            case RequestType.CANCEL:
                if self.answers_cancels and self.open.pop(request.client_order_id, None):
                    self.tell(EventType.CANCELED, request)

    def tell(self, event_type: EventType, request: OrderRequest, **fields: Any) -> None:
        event = OrderEvent()
        for name in ("instrument_id", "venue", "strategy_id", "epoch", "client_order_id", "side", "order_type",
                     "time_in_force", "exec_flags", "price", "quantity", "request_type", "request_id"):  # fmt: skip
            setattr(event, name, getattr(request, name))
        event.event_type = event_type
        event.exchange_time_ns = time.time_ns()
        for name, value in fields.items():
            setattr(event, name, value)
        self.events.try_publish(event)

    def of(self, request_type: RequestType) -> list[OrderRequest]:
        return [request for request in list(self.taken) if request.request_type == request_type]


class Trading:
    """The trader's process and what is around it."""

    def __init__(self, config: Config, instance: Instance) -> None:
        self.config = config
        self.instance = instance
        self.around = Surroundings(instance)
        self.around.thread.start()
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> subprocess.Popen[str]:
        self.process = subprocess.Popen(
            [sys.executable, "-c", MAIN,
             self.config.path],
            env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        return self.process

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Signal it and wait; exit code and what it said."""
        assert self.process is not None
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, said

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.process is None or self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.005)

    def row(self) -> ProcessRow:
        row = ProcessRow()
        TableReader(self.instance.segment("status")).read(self.instance.process_row("trader"), row)
        return row

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        return ask(self.config.instance.run_dir, "trader", command, arguments, timeout_s=10.0)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        self.around.stopping.set()
        self.around.thread.join()


@pytest.fixture
def make_trading(write_config: Callable[..., Path], directory: Path) -> Iterator[Callable[..., Trading]]:
    made: list[Trading] = []

    def make(code: str = CODE, wait: str = "backoff", extra: str | None = None) -> Trading:
        (directory / "one.py").write_text(code)
        config = load_config(write_config(STRATEGY.format(wait=wait) if extra is None else extra))
        shm_admin.create(config)
        made.append(Trading(config, shm_admin.instance_of(config)))
        return made[-1]

    yield make
    for trading in made:
        trading.close()
        trading.instance.close()
        trading.instance.remove()


@pytest.fixture
def trading(make_trading: Callable[..., Trading]) -> Trading:
    """A trader with one accepted order."""
    trading = make_trading()
    trading.start()
    trading.until(lambda: trading.around.open)
    return trading


def test_it_recovers_trades_and_ends_with_the_venues_word_on_every_order(trading: Trading) -> None:
    assert [one.request_type for one in trading.around.taken][:2] == [RequestType.RECOVER, RequestType.NEW]
    trading.until(lambda: trading.row().state == ProcessState.READY)
    assert trading.row().epoch == 1 and Words(trading.instance.segment("words")).load(Word.TRADER_EPOCH) == 1
    assert trading.stop()[0] == ExitCode.OK
    assert trading.around.open == {}, "nothing is left at the venue"
    assert len(trading.around.of(RequestType.CANCEL)) >= 1
    assert trading.row().state == ProcessState.STOPPED


def test_an_order_whose_end_is_not_confirmed_makes_the_exit_code_say_so(trading: Trading) -> None:
    trading.around.answers_cancels = False
    code, said = trading.stop()
    assert code == ExitCode.DIFFERENCE
    assert "1 orders were not confirmed as over" in said and "Traceback" not in said
    assert len(trading.around.of(RequestType.CANCEL_ALL)) == 1, "before giving up it asks for everything"
    counters = CountersReader(trading.instance.segment("counters.trader")).snapshot()["counters"]
    assert counters["open_orders_left"] == 1


def test_after_a_kill_the_next_trader_has_a_new_epoch_and_cancels_the_stray(trading: Trading) -> None:
    stray = next(iter(trading.around.open))
    trading.stop(signal.SIGKILL)
    trading.start()
    trading.until(lambda: stray not in trading.around.open)
    trading.until(lambda: trading.around.open)
    recovers, orders = trading.around.of(RequestType.RECOVER), trading.around.of(RequestType.NEW)
    assert recovers[-1].epoch == 2 and recovers[-1].request_id != recovers[0].request_id
    assert orders[-1].client_order_id != stray and orders[-1].epoch == 2
    assert trading.stop()[0] == ExitCode.OK and trading.around.open == {}


def test_hops_and_counters_are_seen_from_outside(trading: Trading) -> None:
    reader = CountersReader(trading.instance.segment("counters.trader"))

    def counted() -> bool:
        counters = reader.snapshot()["counters"]
        return counters["quotes"] > 5 and counters["requests"] >= 1 and counters["events"] >= 1

    trading.until(counted)
    histograms = reader.snapshot()["histograms"]
    for hop in ("publish_to_poll", "poll_to_request", "request_build", "tick_to_request", "event_to_poll"):
        assert histograms[hop]["count"] > 0, hop
    assert 0 < histograms["request_build"]["p50"] <= histograms["tick_to_request"]["max"]


def test_a_fill_moves_the_position_that_status_shows(trading: Trading) -> None:
    request = trading.around.of(RequestType.NEW)[0]
    trading.around.tell(
        EventType.FILL, request, last_price=request.price, last_quantity=4, trade_id=b"1", fee=944,
        fee_currency=b"USDT", parts=FillPart.QUANTITY | FillPart.FEE, request_type=0,
    )  # fmt: skip
    position: dict[str, Any] = {}

    def moved() -> bool:
        position.update(trading.ask("status")["strategies"]["one"]["positions"]["binance:BTCUSDT"])
        return position["fills"] == 1

    trading.until(moved)
    assert position["position"] == 0.004 and position["fees"] == {"USDT": 0.00000944}


def test_pause_resume_and_stop_come_over_control(trading: Trading) -> None:
    assert trading.ask("pause", strategy="one") == {"strategies": {"one": "PAUSED"}}
    trading.until(lambda: not trading.around.open)
    orders = len(trading.around.of(RequestType.NEW))
    assert trading.ask("resume") == {"strategies": {"one": "RUNNING"}}
    trading.until(lambda: len(trading.around.of(RequestType.NEW)) > orders)
    trading.ask("stop")
    trading.until(lambda: trading.ask("status")["strategies"]["one"]["state"] == "STOPPED")
    assert trading.around.open == {}
    with pytest.raises(Exception, match="found 'two', expected one of: one"):
        trading.ask("pause", strategy="two")


def test_parameters_change_live_and_all_or_nothing(trading: Trading) -> None:
    answer = trading.ask("set-param", price="58000.0")
    assert answer == {"strategy": "one", "parameters": {"price": 58000.0}}
    for arguments, words in (
        ({"price": "x"}, "parameter price is 'x'"),
        ({"prise": 1}, "'prise' is not known"),
        ({}, "expected at least one parameter"),
        ({"strategy": "two", "price": 1.0}, "no strategy 'two'"),
    ):
        with pytest.raises(Exception, match=words):
            trading.ask("set-param", **arguments)
    trading.ask("cancel-all")
    trading.until(lambda: trading.around.of(RequestType.NEW)[-1].price == 5_800_000)


def test_limits_are_lowered_over_control_and_never_above_the_configs(trading: Trading) -> None:
    before = trading.ask("status")["strategies"]["one"]["limits"]
    answer = trading.ask("set-limit", max_position=0)
    assert answer == {"strategy": "one", "limits": {**before, "max_position": "0"}}
    for arguments, words in (
        ({"max_position": 10**9}, "the config allows at most"),
        ({"max_positon": 1}, "there is no such limit"),
        ({}, "expected at least one limit"),
        ({"strategy": "two", "max_position": 0}, "found 'two'"),
    ):
        with pytest.raises(Exception, match=words):
            trading.ask("set-limit", **arguments)
    assert trading.ask("status")["strategies"]["one"]["limits"]["max_position"] == "0"
    assert trading.ask("reset-loss") == {"strategy": "one", "was": ""}


def test_code_is_swapped_over_control_while_its_order_stays(trading: Trading, directory: Path) -> None:
    order = next(iter(trading.around.open))
    (directory / "one.py").write_text(CODE + "    def on_quote(self, quote:\n")
    with pytest.raises(Exception, match=r"SyntaxError at .*one.py.*; the old code runs on"):
        trading.ask("swap-strategy", strategy="one")
    (directory / "one.py").write_text(CODE.replace("price: float", "price: float\n    more: int = 3"))
    answer = trading.ask("swap-strategy", more=4)
    assert (answer["parameters"], answer["open_orders"]) == ({"price": 59000.0, "more": 4}, 1)
    assert order in trading.around.open and trading.ask("status")["strategies"]["one"]["state"] == "RUNNING"


def restarted(trading: Trading, **arguments: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Ask for a restart and do what a supervisor does: the answer, and what the next trader measured."""
    trading.until(lambda: trading.row().state == ProcessState.READY)
    answer = trading.ask("restart", **arguments)
    assert trading.process is not None
    trading.process.communicate(timeout=PATIENCE_S)
    assert trading.process.returncode == ExitCode.RESTART
    assert trading.row().state == ProcessState.RESTARTING
    trading.start()
    found: list[dict[str, Any] | None] = [None]

    def is_over() -> bool:
        found[0] = trader_restart.look(trading.config.instance.run_dir, answer["pid"])
        return found[0] is not None

    trading.until(is_over)
    assert found[0] is not None
    return answer, found[0]


def test_a_planned_restart_that_keeps_orders_leaves_them_in_the_market(trading: Trading) -> None:
    trading.ask("set-param", price=58000.0)
    order = next(iter(trading.around.open))
    answer, measured = restarted(trading, orders="keep")
    assert answer["back_to_the_config"] == {"one": ["price"]}
    assert (measured["kept_orders"], measured["open_orders_before"]) == (1, 1)
    assert measured["without_quotes_ms"] == 0.0 and measured["stood_still_ms"] > 0.0
    assert list(trading.around.open) == [order] and trading.around.of(RequestType.CANCEL) == []
    assert [str(order)] == [one["id"] for one in trading.ask("status")["strategies"]["one"]["open_orders"]]
    assert trading.stop()[0] == ExitCode.OK and trading.around.open == {}


def test_a_planned_restart_cancels_orders_as_configured_and_measures_the_time_without(trading: Trading) -> None:
    order = next(iter(trading.around.open))
    _, measured = restarted(trading)
    assert (measured["orders"], measured["kept_orders"]) == ("configured", 0)
    assert 0.0 < measured["stood_still_ms"] <= measured["without_quotes_ms"]
    assert [one.client_order_id for one in trading.around.of(RequestType.CANCEL)] == [order]
    assert "kept" in trader_restart.in_words(measured)
    with pytest.raises(Exception, match="orders: found 'some', expected keep or cancel"):
        trading.ask("restart", orders="some")


def test_it_sleeps_on_a_doorbell_and_is_woken(make_trading: Callable[..., Trading]) -> None:
    trading = make_trading(wait="doorbell")
    trading.start()
    trading.until(lambda: trading.around.open)
    assert trading.stop()[0] == ExitCode.OK and trading.around.open == {}


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("x = 1 / 0\n", "ZeroDivisionError at"),
        ("x = 1\n", "has no One"),
        (CODE.replace("price: float", "prize: float"), "'price' is not known, expected one of: prize"),
    ],
)
def test_a_strategy_that_cannot_be_loaded_is_one_sentence_and_a_config_exit(
    make_trading: Callable[..., Trading], code: str, words: str
) -> None:
    trading = make_trading(code)
    process = trading.start()
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == ExitCode.CONFIG
    assert words in said and "Traceback" not in said


def test_an_unreadable_epoch_file_stops_it_before_anything_is_sent(make_trading: Callable[..., Trading]) -> None:
    trading = make_trading()
    (Path(trading.config.instance.state_dir) / "trader.epoch").write_text("many\n")
    process = trading.start()
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == ExitCode.CONFIG and "expected one number" in said and "Traceback" not in said
    assert trading.around.taken == []


def test_without_strategies_it_runs_and_recovers(make_trading: Callable[..., Trading]) -> None:
    trading = make_trading(extra="")
    trading.start()
    trading.until(lambda: trading.row().state == ProcessState.READY)
    assert json.dumps(trading.ask("status"))
    assert trading.stop()[0] == ExitCode.OK
