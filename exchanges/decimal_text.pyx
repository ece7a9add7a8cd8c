# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Decimal text <-> int64 mantissa, exactly: value = mantissa * 10**-scale.

The rule: nothing is ever rounded. Digits below the scale must be zeros, and a mantissa has at most 18 digits, so sums
of a few still fit. Venues pad differently in different messages ("0.1", "0.10"): compare mantissas, never text.

Who calls it: codecs and order builders from Python; `cl_scan_decimal` in decimal_text.pxd is the same scan for the
compiled scanners, and the only one there is.
"""

from libc.stdint cimport int64_t

import re

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


def rescale(mantissa, int scale, int new_scale) -> int:
    """The same value at another scale. Raises DecimalTextError where digits would be lost."""
    if new_scale >= scale:
        return mantissa * 10 ** (new_scale - scale)
    quotient, rest = divmod(mantissa, 10 ** (scale - new_scale))
    if rest:
        raise DecimalTextError(f"{decimal_text(mantissa, scale)} needs more than {new_scale} decimals")
    return quotient

