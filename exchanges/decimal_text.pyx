# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Decimal text <-> int64 mantissa, exactly: value = mantissa * 10**-scale.

The rule: nothing is ever rounded. Digits below the scale must be zeros, and a mantissa has at most 18 digits, so sums
of a few still fit. Venues pad differently in different messages ("0.1", "0.10"): compare mantissas, never text.

Two spellings: *decimal text* has no exponent (venues that send numbers as JSON strings), a *JSON number* may have one
("5.0e-8": venues that send them bare). Each has its function and its compiled scan, and nothing takes both by accident.

Who calls it: codecs and order builders from Python; `cl_scan_decimal` and `cl_scan_number` in decimal_text.pxd are the
same scans for the compiled scanners, and the only ones there are.
"""

from libc.stdint cimport int64_t

import re
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII).fullmatch


class DecimalTextError(ValueError):
    """The text is not a decimal number that this scale can hold exactly."""


def mantissa(text, int scale) -> int:
    """Mantissa of `text` (str or ASCII bytes), sign allowed, no exponent. Raises DecimalTextError."""
    cdef bytes raw
    cdef const char* start
    cdef const char* end
    cdef const char* stop
    cdef int64_t value = 0
    cdef bint negative
    if scale < 0 or scale > MAX_SCALE:
        raise DecimalTextError(f"scale {scale} is not within 0..{MAX_SCALE}")
    if isinstance(text, str):
        raw = (<str> text).encode("utf-8", "surrogatepass")
    elif isinstance(text, bytes):
        raw = text
    else:
        raise DecimalTextError(f"{text!r} is not text")
    start = raw
    end = start + len(raw)
    negative = start < end and start[0] == c"-"
    stop = cl_scan_decimal(start + negative, end, scale, &value)
    if stop != end:
        raise DecimalTextError(f"{text!r} is not a decimal with at most {scale} decimals and 18 digits")
    return -value if negative else value


def number_mantissa(text, int scale) -> int:
    """Mantissa of a JSON number (str or ASCII bytes), sign and exponent allowed. Raises DecimalTextError."""
    cdef bytes raw
    cdef const char* start
    cdef const char* end
    cdef const char* stop
    cdef int64_t value = 0
    cdef bint negative
    if scale < 0 or scale > MAX_SCALE:
        raise DecimalTextError(f"scale {scale} is not within 0..{MAX_SCALE}")
    raw = text if isinstance(text, bytes) else str(text).encode("utf-8", "surrogatepass")
    start = raw
    end = start + len(raw)
    negative = start < end and start[0] == c"-"
    stop = cl_scan_number(start + negative, end, scale, &value)
    if stop != end:
        raise DecimalTextError(f"{text!r} is not a number with at most {scale} decimals and 18 digits")
    return -value if negative else value


def rounded_mantissa(text, int scale) -> int:
    """Mantissa of any finite number text, rounded half-even where it has more decimals: for amounts that a venue
    reports finer than a record holds, never for prices, quantities or anything that is added up to be equal. Raises
    DecimalTextError, also where it does not fit 64 bits."""
    try:
        value = int(Decimal(text.decode() if isinstance(text, bytes) else text).scaleb(scale)
                    .to_integral_value(ROUND_HALF_EVEN))
    except (InvalidOperation, ValueError, OverflowError):
        raise DecimalTextError(f"{text!r} is not an amount") from None
    if not -(1 << 63) < value < 1 << 63:
        raise DecimalTextError(f"{text!r} is more than a record holds")
    return value


def decimal_text(mantissa, int scale) -> str:
    """The shortest exact text without exponent: 1230 at scale 3 is "1.23". Any int is taken, also beyond 64 bits."""
    if scale < 0 or scale > MAX_SCALE:
        raise DecimalTextError(f"scale {scale} is not within 0..{MAX_SCALE}")
    sign = "-" if mantissa < 0 else ""
    digits = str(abs(mantissa)).rjust(scale + 1, "0")
    whole, fraction = (digits[:-scale], digits[-scale:].rstrip("0")) if scale else (digits, "")
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"


def padded_text(mantissa, int scale, int decimals) -> str:
    """The exact text with exactly `decimals` decimals. Raises DecimalTextError where digits would be lost."""
    text = decimal_text(mantissa, scale)
    whole, _, fraction = text.partition(".")
    if len(fraction) > decimals:
        raise DecimalTextError(f"{text} has more than {decimals} decimals")
    return f"{whole}.{fraction.ljust(decimals, '0')}" if decimals else whole


def decimals(str text) -> int:
    """Decimals that carry something: 1 for "0.10", 0 for "5" and "5.00". Raises DecimalTextError."""
    if not _DECIMAL(text):
        raise DecimalTextError(f"{text!r} is not a decimal number")
    return len(text.partition(".")[2].rstrip("0"))


def number_decimals(text) -> int:
    """The same of a JSON number: 8 for "5.0e-8". Raises DecimalTextError."""
    try:
        exponent = Decimal(text.decode() if isinstance(text, bytes) else text).normalize().as_tuple().exponent
    except (InvalidOperation, ValueError):
        exponent = "not finite"
    if not isinstance(exponent, int):
        raise DecimalTextError(f"{text!r} is not a number")
    return max(0, -exponent)


def rescale(mantissa, int scale, int new_scale) -> int:
    """The same value at another scale. Raises DecimalTextError where digits would be lost."""
    if new_scale >= scale:
        return mantissa * 10 ** (new_scale - scale)
    quotient, rest = divmod(mantissa, 10 ** (scale - new_scale))
    if rest:
        raise DecimalTextError(f"{decimal_text(mantissa, scale)} needs more than {new_scale} decimals")
    return quotient

