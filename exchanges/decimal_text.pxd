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

    /* The same for an unsigned JSON number, which may have an exponent: digits, point, exponent in any legal mix, at most
     * 18 significant digits. NULL also where JSON itself forbids the text (a leading zero, an empty exponent). */
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
        const char *stop;
        if (end - p > 1 && p[0] == '0' && (unsigned char)(p[1] - '0') < 10) return NULL;
        stop = cl_scan_decimal(p, end, scale, mantissa);
        if (stop != NULL && (stop == end || (*stop | 0x20) != 'e')) return stop;
        return cl_scan_exponent(p, end, scale, mantissa);
    }
    """
    const int64_t* cl_powers_of_ten
    const char* cl_scan_decimal(const char* p, const char* end, int scale, int64_t* mantissa) noexcept nogil
    const char* cl_scan_number(const char* p, const char* end, int scale, int64_t* mantissa) noexcept nogil
