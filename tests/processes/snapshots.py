"""Snapshots as plain data, composed by a test: a good set of three processes and one instrument, changed where told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from processes.snapshot import (
    ConnectionLine,
    DurationSummary,
    FillLine,
    HistogramLine,
    HopLine,
    KillSwitchLine,
    MarketLine,
    OrderLine,
    ProcessLine,
    RingLine,
    Snapshot,
    StrategyLine,
    VenueSnapshot,
)

SECOND_NS = 1_000_000_000
SUMMARY = DurationSummary(count=10, p50=5_000, p90=9_000, p99=20_000, p999=21_000, max=22_000)


def process(name: str, state: str = "READY", **fields: Any) -> ProcessLine:
    line = ProcessLine(name, 1000, -1, state, 50.0, 0, "", 120.0, 0, (ConnectionLine("UP", 20.0),))
    return replace(line, **fields)


def market(**fields: Any) -> MarketLine:
    line = MarketLine(
        symbol="BTCUSDT", valid=True, status="LIVE", age_ms=30.0, bids=[(100.0, 1.5)], asks=[(100.1, 2.5)],
        mark=100.05, mark_mantissa=10_005_000_000, position=0.02, position_mantissa=20, entry_price=99.5,
        unrealized_pnl=1.5, position_age_ms=750.0, price_decimals=1, quantity_decimals=3, currency="USDT",
    )  # fmt: skip
    return replace(line, **fields)


def strategy(**fields: Any) -> StrategyLine:
    line = StrategyLine(
        name="mm", instrument="binance:BTCUSDT", state="RUNNING", stale=False, open_orders=2, fills=3, position=0.02,
        lowest=0.01, highest=0.03, average_price=99.5, realized_pnl=4.0, unrealized_pnl=1.0, fees=0.5, profit=4.5,
        currency="USDT", bid=99.9, bid_quantity=0.01, ask=100.2, ask_quantity=0.01, text="", age_ms=40.0,
        position_mantissa=20,
    )  # fmt: skip
    return replace(line, **fields)


def order(**fields: Any) -> OrderLine:
    line = OrderLine("9223372036854775809", "mm", "binance:BTCUSDT", "BUY", 99.9, 0.01, 0.0, "OPEN", False, 1.5)
    return replace(line, **fields)


def fill(**fields: Any) -> FillLine:
    line = FillLine("2026-01-01T00:00:00.000+00:00", "mm", "binance:BTCUSDT", "BUY", 99.9, 0.01, "MAKER", "17")
    return replace(line, **fields)


def venue(**fields: Any) -> VenueSnapshot:
    line = VenueSnapshot(
        name="binance", environment="simulator", stale_after_ms=2_000, markets=[market()],
        rings=[RingLine("binance.market", 1_000, None, 65_536), RingLine("binance.events", 50, 0, 8_192)],
        budgets=[], balances=[], orders=[order()], orders_complete=True, fills=[fill()],
    )  # fmt: skip
    return replace(line, **fields)


def snapshot(second: float = 0.0, **fields: Any) -> Snapshot:
    """`second`: when, of an arbitrary minute."""
    whole = Snapshot(
        time=f"2026-01-01T00:{int(second) // 60:02}:{int(second) % 60:02}.000+00:00",
        monotonic_ns=int((1_000 + second) * SECOND_NS),
        instance="test",
        kill_switch=KillSwitchLine(False, 0, {"trading_engine.binance": True}),
        processes=[process("market_server.binance"), process("trading_engine.binance"), process("trader")],
        venues=[venue()],
        strategies=[strategy()],
        hops=[HopLine("tick_to_request", SUMMARY, SUMMARY)],
        counters={"trader": {"fills": 3, "lapped": 0}, "trading_engine.binance": {"fills": 3, "unknown": 0}},
        histograms=[HistogramLine("trader", "tick_to_request", 10, 60_000, [*range(10), *[10] * 12])],
    )
    return replace(whole, **fields)
