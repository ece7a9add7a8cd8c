from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from exchanges.decimal_text import (
    DecimalTextError,
    decimal_text,
    decimals,
    mantissa,
    number_decimals,
    number_mantissa,
    padded_text,
    rescale,
    rounded_mantissa,
)


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


# --- JSON numbers, which may have an exponent -------------------------------------------------------------------------
@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9), st.data())
def test_every_spelling_of_a_number_has_the_same_mantissa(value: Decimal, data: st.DataObject) -> None:
    shift = data.draw(st.integers(-12, 12))
    significand = format(value.scaleb(-shift), "f")
    assume(len(significand.replace("-", "").replace(".", "").lstrip("0")) <= 18)  # as written, zeros at the end too
    letter = data.draw(st.sampled_from(["e", "E", "e+"] if shift >= 0 else ["e", "E"]))
    expected = int(value.scaleb(6))
    assert number_mantissa(format(value, "f"), 6) == expected
    assert number_mantissa(f"{significand}{letter}{shift}", 6) == expected
    assert number_mantissa(f"{significand}{letter}{shift}".encode(), 6) == expected


@given(st.text(alphabet="0123456789.-+eE x", max_size=24), st.integers(0, 18))
def test_any_text_is_an_exact_json_number_or_refused(text: str, scale: int) -> None:
    try:
        value = number_mantissa(text, scale)
    except DecimalTextError:
        return
    json.loads(text)
    assert Decimal(text) == Decimal(value).scaleb(-scale)


@given(st.integers(-(10**18) + 1, 10**18 - 1), st.integers(0, 18))
def test_a_number_without_exponent_reads_as_decimal_text_does(value: int, scale: int) -> None:
    assert number_mantissa(decimal_text(value, scale), scale) == value


@pytest.mark.parametrize(
    ("text", "scale", "expected"),
    [
        ("5.0e-8", 8, 5),
        ("3.2e4", 1, 320_000),
        ("9.21E4", 0, 92_100),
        ("-4.0e-7", 8, -40),
        ("0.0e5", 0, 0),
        ("0e999", 0, 0),
        ("40", 1, 400),
        ("1.50000000000000000000000000e1", 0, 15),
    ],
)
def test_exponents_as_the_venue_writes_them(text: str, scale: int, expected: int) -> None:
    assert number_mantissa(text, scale) == expected


@pytest.mark.parametrize(
    ("text", "scale"),
    [
        ("", 2), ("01", 2), ("00", 2), ("1e", 2), ("1e+", 2), ("1.e2", 2), (".5e1", 2), ("e5", 2), ("1e1.5", 2),
        ("+1", 2), ("1.23e-1", 2), ("1e17", 2), ("1e1000", 2), ("1e 2", 2), ("1 ", 2), ("NaN", 2),
        ("Infinity", 2), ("null", 2),
        ('"1"', 2), ("5.0e-9", 8), ("1234567890123456789e-9", 9),
    ],
)  # fmt: skip
def test_what_is_no_exact_json_number_of_the_scale_is_refused(text: str, scale: int) -> None:
    with pytest.raises(DecimalTextError):
        number_mantissa(text, scale)


def test_amounts_that_are_reported_too_finely_are_rounded_to_even() -> None:
    assert [rounded_mantissa(text, 8) for text in ("-4.0e-9", "1.5e-8", "2.5e-8", "0.123456789", b"-7")] == [
        0, 2, 2, 12_345_679, -700_000_000,
    ]  # fmt: skip
    for text in ("", "x", "NaN", "Infinity", "1e30"):
        with pytest.raises(DecimalTextError):
            rounded_mantissa(text, 8)


def test_decimals_of_numbers_with_exponents() -> None:
    assert [number_decimals(text) for text in ("5.0e-8", "0.5", b"10.0", "1e3", "0", "2.5e-3")] == [8, 1, 0, 0, 0, 4]
    for text in ("", "Infinity", "x"):
        with pytest.raises(DecimalTextError):
            number_decimals(text)


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
