from libc.stdint cimport int64_t

cdef enum:
    MAX_SCALE = 18

cdef extern from *:
    """
    #include <stdint.h>
    static const int64_t cl_powers_of_ten[19] = {
        1LL, 10LL, 100LL, 1000LL, 10000LL, 100000LL, 1000000LL, 10000000LL, 100000000LL, 1000000000LL, 10000000000LL,
        100000000000LL, 1000000000000LL, 10000000000000LL, 100000000000000LL, 1000000000000000LL, 10000000000000000LL,
        100000000000000000LL, 1000000000000000000LL};

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
    """
    const int64_t* cl_powers_of_ten
    const char* cl_scan_decimal(const char* p, const char* end, int scale, int64_t* mantissa) noexcept nogil
