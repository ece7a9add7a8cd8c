"""What `corelane ctl` shows to people."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from processes.control_table import lines

STATUS = {"state": "READY", "text": "", "pid": 7, "core": 1, "uptime_s": 12.5}


def shown(**answers: dict[str, Any]) -> list[str]:
    return list(lines(answers))


def test_each_process_is_a_row_under_one_head() -> None:
    assert shown(logger=STATUS, trader={"state": "RECOVERING", "pid": 12, "open_orders": 4}) == [
        "process  state       text  pid  core  uptime_s  open_orders",
        "logger   READY       -     7    1     12.5      -",
        "trader   RECOVERING  -     12   -     -         4",
    ]


def test_things_alike_inside_an_answer_are_tables_with_what_they_hold_below() -> None:
    strategy = {
        "id": 1, "stale": {}, "parameters": {"order_quantity": 0.01, "improve": False},
        "open_orders": [{"side": "buy", "price": 61775.6}, {"side": "sell", "price": 61779.7}],
        "positions": {"binance:BTCUSDT": {"position": 0.02, "exposure": [0.01, 0.03], "fees": {"USDT": 2.5}}},
    }  # fmt: skip
    venues = {"binance": {"state": "READY", "reason": ""}, "deribit": {"state": "AWAY", "reason": "it connects"}}
    assert shown(trader={"pid": 3, "venues": venues, "strategies": {"mm": strategy}}) == [
        "process  pid",
        "trader   3",
        "trader:",
        "  venues:",
        "             state  reason",
        "    binance  READY  -",
        "    deribit  AWAY   it connects",
        "  strategies:",
        "        id  stale",
        "    mm  1   -",
        "    mm:",
        "      parameters: order_quantity=0.01, improve=no",
        "      open_orders:",
        "           side  price",
        "        1  buy   61775.6",
        "        2  sell  61779.7",
        "      positions:",
        "                         position",
        "        binance:BTCUSDT  0.02",
        "        binance:BTCUSDT:",
        "          exposure: 0.01, 0.03",
        "          fees: USDT=2.5",
    ]


def test_a_short_answer_is_short() -> None:
    assert shown(trader={"cancels": 3}) == ["process  cancels", "trader   3"]
    assert shown(trader={"commands": ["status", "pause"]}) == ["trader:", "  commands: status, pause"]
    assert shown() == []


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "word"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from("pqrs"), st.dictionaries(st.sampled_from("xyz"), VALUES, max_size=3)))
def test_every_answer_has_lines_and_every_name_in_it_is_shown(answers: dict[str, dict[str, Any]]) -> None:
    text = "\n".join(lines(answers))
    for process, answer in answers.items():
        for name, value in answer.items():
            assert name in text, (process, name, value)
