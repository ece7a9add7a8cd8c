"""The config is the hard cap, a change takes effect as a whole or not at all, and it lives on over a restart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy.limits import NAMES, LimitError, changed, values_of
from strategy.risk_state import RiskState
from strategy.stored_limits import StoredLimits
from tests.strategy.world import Limits

CAPS = Limits()


def test_a_limit_may_be_lowered_and_raised_again_up_to_the_configs() -> None:
    lower = changed(CAPS, CAPS, {"max_position": 0.5, "max_open_orders": "3", "price_band": "0.01"})
    assert (lower.max_position, lower.max_open_orders, lower.price_band) == ("0.5", 3, 0.01)
    assert lower.max_loss == CAPS.max_loss
    again = changed(CAPS, lower, {"max_position": CAPS.max_position})
    assert (again.max_position, again.max_open_orders) == (CAPS.max_position, 3)


def test_zero_means_only_what_reduces() -> None:
    assert changed(CAPS, CAPS, {"max_position": 0}).max_position == "0"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("max_position", "2.0001", "at most 2"),
        ("max_open_orders", 11, "at most 10"),
        ("max_open_orders", 1.5, "a whole number"),
        ("max_loss", "1e99", "at most"),
        ("max_loss", -1, "a number from 0"),
        ("max_loss", "much", "a number from 0"),
        ("max_loss", "NaN", "a number from 0"),
        ("max_loss", "Infinity", "a number from 0"),
        ("max_loss", True, "a number from 0"),
        ("max_loss", None, "a number from 0"),
        ("max_loss", [1], "a number from 0"),
        ("price_band", 0, "above 0"),
        ("max_orders_per_second", 0, "above 0"),
        ("max_orders_per_second", "1e-400", "above 0"),
        ("max_positon", 1, "no such limit"),
    ],
)
def test_what_is_no_limit_or_beyond_the_cap_is_refused_in_one_sentence(name: str, value: Any, words: str) -> None:
    with pytest.raises(LimitError, match=words) as error:
        changed(CAPS, CAPS, {"max_order_quantity": "0.1", name: value})
    assert name in str(error.value) and "\n" not in str(error.value)


@given(st.dictionaries(st.sampled_from(NAMES), st.one_of(st.integers(), st.floats(), st.text(max_size=8)), max_size=4))
def test_no_change_whatever_it_is_ends_above_a_cap(changes: dict[str, Any]) -> None:
    try:
        limits = values_of(changed(CAPS, CAPS, changes))
    except LimitError:
        return
    assert all(0 <= float(limits[name]) <= float(getattr(CAPS, name)) for name in NAMES)


def test_a_change_lives_on_over_a_restart_and_no_other_strategy_sees_it(tmp_path: Path) -> None:
    path = tmp_path / "state" / "risk.json"
    StoredLimits(CAPS, RiskState(path), 1).change({"max_position": "0.5"})
    state = RiskState(path)
    restarted = StoredLimits(CAPS, state, 1).current
    assert restarted is not None and restarted.max_position == "0.5"
    assert StoredLimits(CAPS, state, 2).current is CAPS


def test_a_config_that_was_tightened_since_wins_over_a_stored_change(tmp_path: Path) -> None:
    path = tmp_path / "risk.json"
    StoredLimits(CAPS, RiskState(path), 1).change({"max_position": "1.5", "max_open_orders": 4})
    tight = StoredLimits(replace(CAPS, max_position="1"), RiskState(path), 1).current
    assert tight is not None and (tight.max_position, tight.max_open_orders) == ("1", 4)


def test_a_change_that_is_refused_changes_and_stores_nothing(tmp_path: Path) -> None:
    path = tmp_path / "risk.json"
    limits = StoredLimits(CAPS, RiskState(path), 1)
    with pytest.raises(LimitError):
        limits.change({"max_open_orders": 4, "max_position": "3"})
    assert limits.current is CAPS and not path.exists()
    with pytest.raises(LimitError, match="no limits for this strategy"):
        StoredLimits(None, RiskState(path), 1).change({"max_open_orders": 4})
