# A place in a frame that compiled scanners move forward: take exactly these bytes, or nothing.
#
# The rule: nothing at or behind `end` is ever read, and a step that fails leaves the scan over (the caller gives the
# frame up). Who uses it: fast_decode.pyx of every venue.

from libc.stdint cimport int64_t, uint64_t

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

    /* A JSON integer without sign, fraction or exponent, up to 18 digits. */
    static inline int cl_take_integer(cl_cursor *c, uint64_t *value) {
        const char *start = c->p;
        uint64_t result = 0;
        while (c->p < c->end && (unsigned char)(*c->p - '0') < 10) result = result * 10 + (unsigned char)(*c->p++ - '0');
        *value = result;
        return c->p > start && c->p - start <= 18 && (*start != '0' || c->p - start == 1);
    }
    """
    ctypedef struct Cursor "cl_cursor":
        const char* p
        const char* end
    bint cl_take(Cursor* c, const char* text) noexcept nogil
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


cdef inline bint take_text(Cursor* c, const char** text, Py_ssize_t* size) noexcept nogil:
    """The inside of a JSON string without escapes, and its closing quote; the opening one is taken."""
    text[0] = c.p
    while c.p < c.end and c.p[0] != b'"':
        if c.p[0] == b'\\':
            return False
        c.p += 1
    size[0] = c.p - text[0]
    return cl_take(c, b'"')


cdef inline bint take_flag(Cursor* c, bint* flag) noexcept nogil:
    """A JSON truth value."""
    flag[0] = cl_take(c, b'true')
    return flag[0] or cl_take(c, b'false')
