from libc.stdint cimport int64_t, uint64_t

cdef enum:
    MAX_SCALE = 18

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first byte of a text is the lowest of its word");

    static const int64_t cl_powers_of_ten[19] = {
        1LL, 10LL, 100LL, 1000LL, 10000LL, 100000LL, 1000000LL, 10000000LL, 100000000LL, 1000000000LL, 10000000000LL,
        100000000000LL, 1000000000000LL, 10000000000000LL, 100000000000000LL, 1000000000000000LL, 10000000000000000LL,
        100000000000000000LL, 1000000000000000000LL};

    /* How many digits stand at p, at most 8, and the number that they spell. All 8 bytes must be readable.
     *
     * All of them at once, without a branch on how many there are: where the lengths differ from one number to the next, a
     * loop over the digits ends where the processor did not expect it, which costs more than the digits. Where they are
     * alike (a venue that pads its decimals) the loop is the faster one: it is foretold, and nothing waits for the count. */
    static inline int cl_eight_digits(const char *p, uint64_t *value) {
        uint64_t text, others;
        int count = 8;
        memcpy(&text, p, 8);
        text ^= 0x3030303030303030ULL;                      /* digits are 0 to 9 now, every other byte is above */
        others = ((text + 0x7676767676767676ULL) | text) & 0x8080808080808080ULL;   /* right up to the first of them */
        if (others != 0) {
            int bit = __builtin_ctzll(others);              /* 8 * count + 7 */
            count = bit >> 3;
            text = text << (63 ^ bit) << 8;                 /* as if zeros stood in front; two steps, for a count of 0 */
        }
        text = text * 10 + (text >> 8);                     /* numbers of two digits in every other byte, then all four */
        *value = ((text & 0x000000FF000000FFULL) * 0x000F424000000064ULL
                  + ((text >> 16) & 0x000000FF000000FFULL) * 0x0000271000000001ULL) >> 32;
        return count;
    }

    /* Unsigned decimal text at p, at most up to end: digits, then maybe a point and digits. Stops at the first other
     * byte. Returns where it stopped, or NULL: no digit, a bare point, more than 18 significant digits with the scale
     * applied, or a non-zero digit below the scale. Reads nothing at or behind end. */
    static inline const char *cl_scan_decimal(const char *p, const char *end, int scale, int64_t *mantissa) {
        const char *start = p;
        uint64_t value = 0;
        int fraction = 0;
        while (p < end && (unsigned char)(*p - '0') < 10) {
            if (value >= 100000000000000000ULL) return NULL;
            value = value * 10 + (unsigned char)(*p++ - '0');
        }
        if (p == start) return NULL;
        if (p < end && *p == '.') {
            const char *point = ++p;
            while (p < end && (unsigned char)(*p - '0') < 10) {
                if (fraction < scale) {
                    if (value >= 100000000000000000ULL) return NULL;
                    value = value * 10 + (unsigned char)(*p - '0');
                    fraction++;
                } else if (*p != '0') {
                    return NULL;
                }
                p++;
            }
            if (p == point) return NULL;
        }
        if (fraction < scale && value != 0) {
            if (value > 999999999999999999ULL / (uint64_t)cl_powers_of_ten[scale - fraction]) return NULL;
            value *= (uint64_t)cl_powers_of_ten[scale - fraction];
        }
        *mantissa = (int64_t)value;
        return p;
    }

    /* JSON numbers are written as short as they can be, so their lengths differ, and nearly all have up to 7 digits, a
     * point and up to 7 digits, the last ones 0 where they are below the scale. These without a loop; NULL: it is none of
     * them, or too near the end. The byte where it stops can be read. */
    static inline const char *cl_scan_short_decimal(const char *p, const char *end, int scale, int64_t *mantissa) {
        uint64_t whole, part;
        int digits, fraction = 1;
        const char *stop;
        if (end - p < 16 || scale > 11) return NULL;        /* above it 7 digits in front of the point may be too many */
        digits = cl_eight_digits(p, &whole);
        stop = p + digits;
        if (digits == 0 || digits == 8 || *stop != '.') return NULL;
        part = (unsigned char)(stop[1] - '0');
        if (part >= 10) return NULL;
        if ((unsigned char)(stop[2] - '0') < 10) {          /* some venues write one digit always, others always more */
            fraction = cl_eight_digits(stop + 1, &part);
            if (fraction == 8) return NULL;
        }
        if (fraction <= scale) {
            *mantissa = (int64_t)(whole * (uint64_t)cl_powers_of_ten[scale] + part * (uint64_t)cl_powers_of_ten[scale - fraction]);
        } else {
            if (part != 0) return NULL;
            *mantissa = (int64_t)(whole * (uint64_t)cl_powers_of_ten[scale]);
        }
        return stop + 1 + fraction;
    }

    /* As cl_scan_decimal for an unsigned JSON number, which may have an exponent: digits, point, exponent in any legal
     * mix, at most 18 significant digits. NULL also where JSON itself forbids the text (a leading zero, an empty exponent). */
    static const char *cl_scan_exponent(const char *p, const char *end, int scale, int64_t *mantissa) {
        uint64_t value = 0;
        int fraction = 0, zeros = 0, exponent = 0, negative = 0, shift;
        const char *start = p;
        while (p < end && (unsigned char)(*p - '0') < 10) {
            if (value >= 100000000000000000ULL) return NULL;
            value = value * 10 + (unsigned char)(*p++ - '0');
        }
        if (p == start) return NULL;
        if (p < end && *p == '.') {
            const char *point = ++p;
            for (; p < end && (unsigned char)(*p - '0') < 10; p++) {
                zeros++;
                if (*p == '0') continue; /* zeros count only where something follows */
                for (; zeros > 0; zeros--, fraction++) {
                    if (value >= 100000000000000000ULL) return NULL;
                    value *= 10;
                }
                value += (unsigned char)(*p - '0');
            }
            if (p == point) return NULL;
        }
        if (p < end && (*p == 'e' || *p == 'E')) {
            const char *digits;
            p++;
            if (p < end && (*p == '-' || *p == '+')) negative = *p++ == '-';
            digits = p;
            while (p < end && (unsigned char)(*p - '0') < 10 && p - digits < 4) exponent = exponent * 10 + (*p++ - '0');
            if (p == digits || p - digits > 3) return NULL;
            if (negative) exponent = -exponent;
        }
        shift = exponent - fraction + scale;
        if (value == 0) {
            shift = 0;
        } else if (shift >= 0) {
            if (shift > 18 || value > 999999999999999999ULL / (uint64_t)cl_powers_of_ten[shift]) return NULL;
            value *= (uint64_t)cl_powers_of_ten[shift];
        } else {
            if (shift < -18 || value % (uint64_t)cl_powers_of_ten[-shift] != 0) return NULL;
            value /= (uint64_t)cl_powers_of_ten[-shift];
        }
        *mantissa = (int64_t)value;
        return p;
    }

    static inline const char *cl_scan_number(const char *p, const char *end, int scale, int64_t *mantissa) {
        const char *stop = cl_scan_short_decimal(p, end, scale, mantissa);
        if (stop != NULL && (*stop | 0x20) != 'e' && (p[0] != '0' || p[1] == '.')) return stop;
        if (end - p > 1 && p[0] == '0' && (unsigned char)(p[1] - '0') < 10) return NULL;
        stop = cl_scan_decimal(p, end, scale, mantissa);
        if (stop != NULL && (stop == end || (*stop | 0x20) != 'e')) return stop;
        return cl_scan_exponent(p, end, scale, mantissa);
    }
    """
    const int64_t* cl_powers_of_ten
    int cl_eight_digits(const char* p, uint64_t* value) noexcept nogil
    const char* cl_scan_decimal(const char* p, const char* end, int scale, int64_t* mantissa) noexcept nogil
    const char* cl_scan_number(const char* p, const char* end, int scale, int64_t* mantissa) noexcept nogil
