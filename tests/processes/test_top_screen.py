"""`corelane top` fits every terminal: never wider, never higher, and what is wrong is always on it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from processes import top_blocks
from processes.health import Health, Look
from processes.history import History
from processes.snapshot import BalanceLine, BudgetLine, ConnectionLine, HopLine, KillSwitchLine, Snapshot
from processes.top_blocks import WIDE
from processes.top_screen import HELP, VIEWS, Shown, lines
from tests.processes.snapshots import SUMMARY, fill, market, order, process, snapshot, strategy, venue

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def look(of: Snapshot | None = None) -> Look:
    """After long enough for every rule to have spoken."""
    health, found = Health(), of if of is not None else crowded()
    health.update(found)
    later = snapshot(100.0).monotonic_ns
    return Look(found, health.update(Snapshot(**{**vars(found), "monotonic_ns": later})))


def crowded() -> Snapshot:
    symbols = [f"SYM{number}USDT" for number in range(6)]
    return snapshot(
        processes=[
            process(f"market_server.venue{number}", connections=(ConnectionLine("UP", 1.0),) * 4, text="long " * 16)
            for number in range(12)
        ],
        venues=[
            venue(
                markets=[market(symbol=symbol) for symbol in symbols],
                orders=[order(instrument=f"binance:{symbol}", unknown=False) for symbol in symbols] * 5,
                fills=[fill(trade_id=str(number)) for number in range(40)],
                budgets=[BudgetLine("account 0123456789abcdef orders_1m / 60000 ms", 95, 100, 3.0, 0.0)],
                balances=[BalanceLine("USDT", 1.0, 1.0, 0.0, 5.0)],
            )
        ],
        strategies=[strategy(name=f"strategy-{symbol}", instrument=f"binance:{symbol}") for symbol in symbols],
    )


def seen(shown: Shown, width: int = 80, height: int = 24, of: Look | None = None) -> list[str]:
    rows = lines(of if of is not None else look(), History(), shown, width, height, color=True)
    return [ESCAPE.sub("", row) for row in rows]


@pytest.mark.parametrize("view", ["1", *VIEWS])
@pytest.mark.parametrize(
    ("width", "height"), [(80, 24), (200, 50), (120, 40), (40, 6), (149, 24), (150, 30), (300, 100)]
)
def test_every_view_fits_the_terminal(view: str, width: int, height: int) -> None:
    rows = seen(Shown(view=view), width, height)
    assert len(rows) == height
    assert max(cell_len(row) for row in rows) <= width
    assert "quit" in rows[-1] or width < 80


@settings(max_examples=25)
@given(
    view=st.sampled_from(["1", *VIEWS]), width=st.integers(40, 250), height=st.integers(6, 80),
    offset=st.integers(0, 200), asked=st.booleans(),
)  # fmt: skip
def test_no_size_and_no_place_in_a_list_breaks_it(view: str, width: int, height: int, offset: int, asked: bool) -> None:
    rows = seen(Shown(view=view, offset=offset, help=asked), width, height)
    assert len(rows) == height
    assert max(cell_len(row) for row in rows) <= width


def test_the_overview_at_80_by_24_has_what_one_looks_at_first() -> None:
    rows = seen(Shown(), of=look(snapshot()))
    text = "\n".join(rows)
    assert rows[0].startswith("corelane test  SIMULATOR  healthy  3/3 ready  kill switch off  1 order")
    assert re.search(r"mm +running +0\.02 +4\.50 USDT +99\.9 +100\.2 +3", text)
    assert re.search(r"binance:BTCUSDT +100\.0 +100\.1 +100\.[01] +good +30 ms +0\.02", text)
    assert re.search(r"tick to request +5\.0 +5\.0 +20\.0", text)


def test_a_wide_overview_has_everything() -> None:
    text = "\n".join(seen(Shown(), 200, 50, look(snapshot())))
    for title in ("Strategies", "Books", "Processes", "Latency", "Open orders", "Last fills", "Rings"):
        assert title in text
    assert re.search(r"PnL +told\b", text)
    assert re.search(r"99\.5 .*1\.5.* +750 ms", text)


def test_what_is_wrong_stands_first() -> None:
    bad = look(snapshot(kill_switch=KillSwitchLine(True, 1, {}), processes=[process("trader", "FAILED", text="a bug")]))
    rows = seen(Shown(), of=bad)
    assert "KILL SWITCH ON" in rows[0]
    assert "2 problems" in rows[0]
    assert rows[1].startswith("Problems")
    assert any("trader is not running: FAILED: a bug" in row for row in rows[2:6])


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50)])
def test_a_strategy_that_may_only_reduce_says_why(width: int, height: int) -> None:
    said = "the loss limit of 50 was reached: 70.00 at the worse end"
    rows = seen(Shown(), width, height, look(snapshot(strategies=[strategy(text=said)])))
    assert any("mm may only reduce: the loss limit of 50 was reached" in row for row in rows[2:6])
    assert any(row.startswith("mm ") and " reducing " in row for row in rows)
    assert width < WIDE or any(row.startswith("mm ") and row.rstrip().endswith(said) for row in rows)


def test_what_does_not_fit_is_said() -> None:
    assert any(re.match(r"Open orders  \d+ more, press down", row) for row in seen(Shown(view="3")))
    assert any(re.search(r"\d+ more, press \d", row) for row in seen(Shown(), 200, 50))
    assert any(re.match(r"Strategies  1 more, press down", row) for row in seen(Shown(), 80, 14))


def test_room_that_is_left_over_goes_to_the_blocks_that_were_cut() -> None:
    crowd = [process(f"market_server.venue{number}") for number in range(16)]
    rows = seen(Shown(), 200, 50, look(snapshot(processes=crowd, hops=[HopLine("hop", SUMMARY, SUMMARY)] * 10)))
    assert sum("market_server.venue" in row for row in rows) == 16
    assert not any("more, press" in row for row in rows)
    rows = seen(
        Shown(), 80, 24, look(snapshot(hops=[HopLine(f"hop_{number}", SUMMARY, SUMMARY) for number in range(20)]))
    )
    assert rows[-2].strip(), "the last row above the keys is used"


def test_a_list_scrolls_to_its_end() -> None:
    shown = Shown(view="2", offset=5)
    assert "market_server.venue5" in seen(shown)[3]
    overview = Shown(offset=3)
    assert seen(overview)[8].startswith("strategy-SYM3USDT")
    shown.offset = 10_000
    seen(shown)
    assert shown.offset == 11  # the last row stays


def test_the_help_names_every_key() -> None:
    text = "\n".join(seen(Shown(help=True)))
    for keys, what in HELP:
        assert keys in text
        assert what in text


def test_a_set_that_is_gone_is_waited_for() -> None:
    rows = [ESCAPE.sub("", row) for row in lines(None, History(), Shown(), 80, 24, color=True)]
    assert "The set is not running. Waiting for it to come back" in "\n".join(rows)


def test_without_color_there_is_no_escape() -> None:
    assert not any("\x1b" in row for row in lines(look(), History(), Shown(), 80, 24, color=False))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0851, "85 ms"), (12, "12 s"), (300, "5 min"), (11_520, "3.2 h"), (345_600, "4.0 d")]
)
def test_ages_are_as_long_as_one_wants_them(seconds: float, text: str) -> None:
    assert top_blocks.age(seconds) == text


def test_a_spark_goes_from_the_least_to_the_greatest() -> None:
    assert top_blocks.spark([0.0, None, 7.0, 3.5]) == "▁ █▅"
    assert top_blocks.spark([2.0, 2.0]) == "▁▁"
    assert top_blocks.spark([]) == ""


def test_a_profit_that_is_not_known_is_no_zero() -> None:
    assert top_blocks.signed(None, "USDT").plain == "–"
    assert top_blocks.signed(-0.5, "BTC").plain == "-0.500000"


def test_what_rounds_to_nothing_is_no_loss() -> None:
    assert top_blocks.signed(-1e-9, "BTC") == Text("0.000000")
    assert top_blocks.signed(-0.004, "USDT") == Text("0.00")
    assert top_blocks.signed(-0.006, "USDT") == Text("-0.01", top_blocks.BAD)
    assert top_blocks.signed(1_000.0, "USDT") == Text("1,000.00", top_blocks.GOOD)


def test_a_column_that_does_not_fit_is_left_out_and_not_cut_in_two() -> None:
    lines = [strategy(name="a-name-of-twenty-four-ch", realized_pnl=-1_234_567.0, profit=-1_234_567.0)]
    of = look(snapshot(strategies=lines))
    [heading] = [row for row in seen(Shown(), 80, 24, of) if row.startswith("strategy ")]
    assert heading.split()[-1] in ("ask", "bid", "fills")
    assert "fills" in " ".join(seen(Shown(), 200, 50, of))


def test_an_account_is_not_shown_by_its_hash() -> None:
    assert not any("0123456789abcdef" in row for row in seen(Shown(view="5")))


def test_stages_of_whole_orders_stand_apart_from_the_hops() -> None:
    stage = HopLine("binance.tick_to_answer", SUMMARY, None)
    mixed = look(snapshot(hops=[*snapshot().hops, stage]))
    rows = seen(Shown(view="4"), of=mixed)
    assert rows.index(next(row for row in rows if row.startswith("From tick to answer"))) > 3
    assert any(row.startswith("binance.tick to answer") for row in rows)
    assert not any("binance.tick" in row for row in seen(Shown(), of=mixed))


def test_one_that_is_silent_is_not_ready() -> None:
    rows = seen(Shown(), of=look(snapshot(processes=[process("trader", age_ms=9_000.0), process("monitor")])))
    assert "1/2 ready" in rows[0]
