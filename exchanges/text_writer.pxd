# What the compiled encoders write with: each puts text at `p` and returns where the next begins. No bounds: the caller's
# buffer holds the longest request by far (exchanges/request_encoder.pyx). Who uses it: fast_encode.pyx of the venues.

from libc.stdint cimport int64_t, uint64_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    static inline char *cl_put(char *p, const char *text) {
        size_t size = strlen(text); /* a constant where the text is one */
        memcpy(p, text, size);
        return p + size;
    }

    static inline char *cl_put_bytes(char *p, const char *text, size_t size) {
        memcpy(p, text, size);
        return p + size;
    }

    static inline char *cl_put_number(char *p, uint64_t value) {
        char digits[20];
        int size = 0;
        do {
            digits[size++] = (char)('0' + value % 10);
            value /= 10;
        } while (value != 0);
        while (size > 0) *p++ = digits[--size];
        return p;
    }

    /* decimal_text() of a mantissa that is not negative: the shortest exact text, without exponent. */
    static inline char *cl_put_decimal(char *p, uint64_t mantissa, int scale) {
        char fraction[20];
        int size = scale;
        for (int place = scale - 1; place >= 0; place--) {
            fraction[place] = (char)('0' + mantissa % 10);
            mantissa /= 10;
        }
        p = cl_put_number(p, mantissa);
        while (size > 0 && fraction[size - 1] == '0') size--;
        if (size == 0) return p;
        *p++ = '.';
        return cl_put_bytes(p, fraction, (size_t)size);
    }
    """
    char* cl_put(char* p, const char* text) noexcept nogil
    char* cl_put_bytes(char* p, const char* text, size_t size) noexcept nogil
    char* cl_put_number(char* p, uint64_t value) noexcept nogil
    char* cl_put_decimal(char* p, uint64_t mantissa, int scale) noexcept nogil
