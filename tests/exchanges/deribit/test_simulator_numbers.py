"""`exchanges/deribit/simulator_numbers.py`: every form of a number is the number."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.deribit.simulator_numbers import Numbers, exponent, plain, whole

numbers = st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**9), max_value=10**9)


@given(numbers)
def test_all_forms_are_json_and_exact(value: Decimal) -> None:
    for form in (plain, whole, exponent):
        text = form(value)
        assert Decimal(text) == value
        assert json.loads(text) == float(value)


@pytest.mark.parametrize(
    ("value", "forms"),
    [
        ("61000", ("61000.0", "61000", "6.1e4")),
        ("61000.50", ("61000.5", "61000.5", "6.10005e4")),
        ("0.00000005", ("0.00000005", "0.00000005", "5.0e-8")),
        ("-0.0000004", ("-0.0000004", "-0.0000004", "-4.0e-7")),
        ("0", ("0.0", "0", "0.0")),
        ("40", ("40.0", "40", "4.0e1")),
    ],
)
def test_numbers_look_as_the_venue_writes_them(value: str, forms: tuple[str, ...]) -> None:
    assert tuple(form(Decimal(value)) for form in (plain, whole, exponent)) == forms


def test_mixed_numbers_take_every_form_in_turn_and_plain_ones_have_no_exponent() -> None:
    mixed, simple = Numbers("mixed"), Numbers("plain")
    assert {mixed.write(Decimal(61000)) for _ in range(8)} == {"61000.0", "61000", "6.1e4"}
    assert {simple.write(Decimal(61000)) for _ in range(8)} == {"61000.0"}
    assert json.loads(mixed.dumps({"a": [Decimal("1.5"), None, "x", 7]})) == {"a": [1.5, None, "x", 7]}
    with pytest.raises(TypeError):
        simple.dumps({"a": object()})
