# A place in a frame that compiled scanners move forward: take exactly these bytes, or nothing.
#
# The rule: nothing at or behind `end` is ever read, and a step that fails leaves the scan over (the caller gives the
# frame up). Who uses it: fast_decode.pyx of every venue.

from libc.stdint cimport int64_t, uint64_t

from exchanges.decimal_text cimport cl_eight_digits, cl_powers_of_ten      # what the C below is made of

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    typedef struct { const char *p; const char *end; } cl_cursor;

    /* Take exactly these bytes or nothing. `text` is a literal, so its length is known to the compiler. */
    static inline __attribute__((always_inline)) int cl_take(cl_cursor *c, const char *text) {
        size_t size = strlen(text);
        if ((size_t)(c->end - c->p) < size || memcmp(c->p, text, size) != 0) return 0;
        c->p += size;
        return 1;
    }

    /* Digits and the number that they spell. Returns how many: 0 to 19, with the nineteenth it ends. */
    static inline int cl_take_digits(cl_cursor *c, uint64_t *value) {
        const char *start = c->p;
        uint64_t result = 0, more;
        while (c->end - c->p >= 8 && c->p - start < 16) {
            int digits = cl_eight_digits(c->p, &more);
            result = result * (uint64_t)cl_powers_of_ten[digits] + more;
            c->p += digits;
            if (digits < 8) goto end;
        }
        while (c->p < c->end && c->p - start < 19 && (unsigned char)(*c->p - '0') < 10)
            result = result * 10 + (unsigned char)(*c->p++ - '0');
    end:
        *value = result;
        return (int)(c->p - start);
    }

    /* A JSON integer without sign, fraction or exponent, up to 18 digits. */
    static inline int cl_take_integer(cl_cursor *c, uint64_t *value) {
        const char *start = c->p;
        int digits = cl_take_digits(c, value);
        return digits > 0 && digits <= 18 && (*start != '0' || digits == 1);
    }

    /* The inside of a JSON string without escapes, and its closing quote; the opening one is taken. */
    static inline int cl_take_text(cl_cursor *c, const char **text, Py_ssize_t *size) {
        const uint64_t ones = 0x0101010101010101ULL;
        const char *p = c->p;
        *text = p;
        for (; c->end - p >= 8; p += 8) {
            uint64_t bytes, quote, escape, found;
            memcpy(&bytes, p, 8);
            quote = bytes ^ ones * '"';
            escape = bytes ^ ones * '\\\\';
            found = (((quote - ones) & ~quote) | ((escape - ones) & ~escape)) & ones << 7;  /* right up to the first one */
            if (found != 0) {
                p += __builtin_ctzll(found) >> 3;
                break;
            }
        }
        while (p < c->end && *p != '"' && *p != '\\\\') p++;
        *size = p - *text;
        if (p >= c->end || *p != '"') return 0;
        c->p = p + 1;
        return 1;
    }
    """
    ctypedef struct Cursor "cl_cursor":
        const char* p
        const char* end
    bint cl_take(Cursor* c, const char* text) noexcept nogil
    int cl_take_digits(Cursor* c, uint64_t* value) noexcept nogil
    bint take_text "cl_take_text"(Cursor* c, const char** text, Py_ssize_t* size) noexcept nogil
    bint cl_take_integer(Cursor* c, uint64_t* value) noexcept nogil

cdef enum:
    NS_PER_MS = 1_000_000
    MAX_MILLISECONDS = 9_000_000_000_000    # as the venues' messages.Milliseconds: nanoseconds must fit int64


cdef inline bint take_time(Cursor* c, int64_t* time_ns) noexcept nogil:
    """Milliseconds since 1970 as an integer."""
    cdef uint64_t milliseconds
    if not cl_take_integer(c, &milliseconds) or milliseconds > <uint64_t> MAX_MILLISECONDS:
        return False
    time_ns[0] = <int64_t> milliseconds * NS_PER_MS
    return True


cdef inline bint take_flag(Cursor* c, bint* flag) noexcept nogil:
    """A JSON truth value."""
    flag[0] = cl_take(c, b'true')
    return flag[0] or cl_take(c, b'false')
