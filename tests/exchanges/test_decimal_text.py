from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.decimal_text import DecimalTextError, decimal_text, decimals, mantissa, padded_text, rescale


@given(st.integers(-(10**18) + 1, 10**18 - 1), st.integers(0, 18))
def test_text_of_a_mantissa_reads_back_as_the_same_mantissa(value: int, scale: int) -> None:
    text = decimal_text(value, scale)
    assert mantissa(text, scale) == value
    assert Decimal(text) == Decimal(value).scaleb(-scale)
    assert "E" not in text


@given(st.text(alphabet="0123456789.-+eE x", max_size=24), st.integers(0, 18))
def test_any_text_is_either_exact_or_refused(text: str, scale: int) -> None:
    try:
        value = mantissa(text, scale)
    except DecimalTextError:
        return
    assert Decimal(text) == Decimal(value).scaleb(-scale)


@pytest.mark.parametrize(
    ("text", "scale", "expected"),
    [
        ("0", 0, 0),
        ("0.000", 3, 0),
        ("0.1", 3, 100),
        ("0.10", 3, 100),
        ("61800.20", 2, 6180020),
        ("61800.2000000", 2, 6180020),
        ("-1.5", 1, -15),
        ("5000", 8, 500_000_000_000),
        ("999999999999999999", 0, 999_999_999_999_999_999),
    ],
)
def test_padding_does_not_matter(text: str, scale: int, expected: int) -> None:
    assert mantissa(text, scale) == expected
    assert mantissa(text.encode(), scale) == expected


@pytest.mark.parametrize(
    ("text", "scale"),
    [
        ("", 2), (".", 2), ("1.", 2), (".5", 2), ("-", 2), ("--1", 2), ("+1", 2), ("1e3", 2), ("1,5", 2), (" 1", 2),
        ("1 ", 2), ("1.234", 2), ("1000000000000000000", 0), ("10000000000", 9), ("0x10", 0), ("1\0", 0), ("1٣", 0),
    ],
)  # fmt: skip
def test_what_is_no_exact_number_of_the_scale_is_refused(text: str, scale: int) -> None:
    with pytest.raises(DecimalTextError):
        mantissa(text, scale)


def test_a_scale_outside_the_range_is_refused() -> None:
    for scale in (-1, 19):
        with pytest.raises(DecimalTextError):
            mantissa("1", scale)


def test_decimals_counts_only_what_carries_something() -> None:
    assert [decimals(text) for text in ("0.10", "5", "5.00", "0.00000001", "1000000000000000000000.5")] == [
        1, 0, 0, 8, 1,
    ]  # fmt: skip
    with pytest.raises(DecimalTextError):
        decimals("1e-8")


def test_padded_text_has_the_decimals_that_were_asked_for() -> None:
    assert padded_text(100, 3, 3) == "0.100"
    assert padded_text(100, 3, 1) == "0.1"
    assert padded_text(-6180020, 2, 2) == "-61800.20"
    assert padded_text(5, 0, 0) == "5"
    with pytest.raises(DecimalTextError):
        padded_text(123, 3, 2)


def test_rescale_never_loses_a_digit() -> None:
    assert rescale(15, 1, 3) == 1500
    assert rescale(1500, 3, 1) == 15
    assert rescale(-1500, 3, 1) == -15
    with pytest.raises(DecimalTextError):
        rescale(1501, 3, 1)
