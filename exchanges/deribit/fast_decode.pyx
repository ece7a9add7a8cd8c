# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The hot public frames, scanned in place: bytes -> numbers -> book -> ring without one Python object.

The rule: the envelope is the recorded one byte by byte; inside, keys may stand in any order, because the venue's do not
keep one; the recorded one is tried first. Each is verified as it comes, and at the first byte that is not as expected the scanner gives up and says
SURPRISE: the declared decoder (codec.py) has the word. So it may refuse too much but never reads a value from the wrong
place, never looks at or behind the end of the frame, and nothing is applied before the whole frame was understood. What
it accepts, the declared decoder decodes to the same event (tests/exchanges/deribit/test_fast_decode.py).

Frames {"jsonrpc":"2.0","method":"subscription","params":{"channel":"<channel>","data":<data>}}, data of
    book.<symbol>.<interval>      {"type":"change","timestamp":,"instrument_name":"","prev_change_id":,"change_id":,
                                   "bids":[["new",price,amount]],"asks":[]}; a snapshot is left to the declared decoder
    quote.<symbol>                {"timestamp":,"instrument_name":"","best_bid_price":,"best_bid_amount":,...}
    trades.<symbol>.<interval>    [{"trade_seq":,"trade_id":"","timestamp":,"price":,"amount":,"direction":"buy",...}]

Who calls it: MarketListener is the receiving end of subscriber.py's connection; FrameScanner alone is for tests and
bench. One thread.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp

from exchanges.decimal_text cimport cl_scan_number
from exchanges.frame_cursor cimport Cursor, cl_take, cl_take_integer, take_text, take_time
from exchanges.frame_listener cimport FrameListener
from exchanges.frame_scanner cimport MAX_LEVELS, SURPRISE, Scanner, pairs
from exchanges.instrument_feed cimport InstrumentFeed
from exchanges.order_book cimport Level
from exchanges.symbol_table cimport SymbolEntry
from shm.counters cimport Counter

from exchanges.market_events import BestQuote, BookDelta, PublicTrade, PublicTrades
from shm.layout import Side

COUNTERS = ("frames", "surprises")
"""`surprises`: frames left to the declared decoder: snapshots, tickers, and what is rare."""

cdef enum:
    MAX_TRADES = 512            # of one frame; the venue sends those of 100 ms together

cdef uint8_t _BUY = Side.BUY, _SELL = Side.SELL


cdef enum:                      # kinds of frames, beside SURPRISE
    BOOK = 1
    QUOTE = 2
    TRADES = 3


cdef extern from *:
    """
    enum { CL_CHANGE = 1, CL_NEW = 2, CL_DELETE = 3 };

    /* `change",`, `delete",` or `new",`, or 0: nothing of them. Whether a level changes or goes is not to be foretold; the
     * two words have the same size, so which one it is decides no branch. */
    static inline int cl_take_action(cl_cursor *c) {
        if (c->end - c->p >= 8) {
            int change = memcmp(c->p, "change\\",", 8) == 0, gone = memcmp(c->p, "delete\\",", 8) == 0;
            if (change | gone) {
                c->p += 8;
                return CL_CHANGE + (CL_DELETE - CL_CHANGE) * gone;
            }
        }
        return cl_take(c, "new\\",") ? CL_NEW : 0;
    }
    """
    enum:
        DELETE "CL_DELETE"
    int cl_take_action(Cursor* c) noexcept nogil


cdef struct Trade:
    uint64_t sequence
    int64_t time_ns
    int64_t price
    int64_t quantity
    uint8_t side


cdef struct Scanned:
    SymbolEntry* entry
    int64_t time_ns
    uint64_t change_id
    uint64_t previous_id
    Py_ssize_t bid_count
    Py_ssize_t ask_count
    int64_t bid_price
    int64_t bid_quantity
    int64_t ask_price
    int64_t ask_quantity
    Py_ssize_t trade_count


cdef inline bint _once(uint32_t* seen, uint32_t bit) noexcept nogil:
    """False: this key was there before."""
    if seen[0] & bit:
        return False
    seen[0] |= bit
    return True


cdef inline bint _take_number(Cursor* c, int scale, int64_t* mantissa) noexcept nogil:
    cdef const char* stop = cl_scan_number(c.p, c.end, scale, mantissa)
    if stop == NULL:
        return False
    c.p = stop
    return True


cdef inline bint _take_number_or_null(Cursor* c, int scale, int64_t* mantissa) noexcept nogil:
    if cl_take(c, b'null'):
        mantissa[0] = 0
        return True
    return _take_number(c, scale, mantissa)


cdef inline bint _take_key(Cursor* c, const char** key, Py_ssize_t* size) noexcept nogil:
    """`"key":`"""
    return cl_take(c, b'"') and take_text(c, key, size) and cl_take(c, b':')


cdef bint _skip_digits(Cursor* c) noexcept nogil:
    cdef const char* start = c.p
    while c.p < c.end and b'0' <= c.p[0] <= b'9':
        c.p += 1
    return c.p > start


cdef bint _skip_scalar(Cursor* c) noexcept nogil:
    """A value that nobody reads, if it is a plain one: printable ASCII text, a number by JSON's grammar, a word."""
    cdef const char* start
    if c.p >= c.end:
        return False
    if c.p[0] == b'"':
        c.p += 1
        while c.p < c.end and c.p[0] != b'"':
            if not 32 <= c.p[0] < 127 or c.p[0] == b'\\':
                return False
            c.p += 1
        return cl_take(c, b'"')
    if cl_take(c, b'true') or cl_take(c, b'false') or cl_take(c, b'null'):
        return True
    cl_take(c, b'-')
    start = c.p
    if not _skip_digits(c) or (start[0] == b'0' and c.p - start > 1):
        return False
    if cl_take(c, b'.') and not _skip_digits(c):
        return False
    if cl_take(c, b'e') or cl_take(c, b'E'):
        cl_take(c, b'-') or cl_take(c, b'+')
        # Exponents beyond three digits are no numbers of this venue, and some decoders overflow on them.
        start = c.p
        return _skip_digits(c) and c.p - start <= 3
    return True


cdef inline bint _key_is_plain(const char* key, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(size):
        if not 32 <= key[i] < 127:
            return False
    return True


cdef bint _take_levels(Cursor* c, SymbolEntry* entry, Level* levels, Py_ssize_t* count) noexcept nogil:
    cdef Py_ssize_t n = 0
    cdef int action
    if cl_take(c, b'[]'):
        count[0] = 0
        return True
    if not cl_take(c, b'[["'):
        return False
    while n < MAX_LEVELS:
        action = cl_take_action(c)
        if not (
            action and _take_number(c, entry.price_scale, &levels[n].price) and cl_take(c, b',')
            and _take_number(c, entry.quantity_scale, &levels[n].quantity)
        ):
            return False
        if levels[n].price == 0:
            return False
        levels[n].quantity &= -<int64_t> (action != DELETE)
        n += 1
        if not cl_take(c, b'],["'):
            count[0] = n
            return cl_take(c, b']]')
    return False


cdef class FrameScanner(Scanner):
    """The instruments it knows, and room for one decoded frame."""

    cdef Trade* trades
    cdef Scanned found

    def __cinit__(self):
        self.trades = <Trade*> malloc(MAX_TRADES * sizeof(Trade))
        if self.trades == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.trades)

    def add(self, str symbol not None, int price_scale, int quantity_scale, feed=None):
        """Know this symbol. Symbols too long for the table stay with the declared decoder."""
        self.symbols.add(symbol, price_scale, quantity_scale, feed)

    # --- the scan ---------------------------------------------------------------------------------------------------
    cdef int scan(self, const char* data, Py_ssize_t size) noexcept nogil:
        """What the frame is; its numbers stand in `found`, its levels in `bids` and `asks`, until the next call."""
        cdef Cursor c
        cdef int kind
        cdef bint ok
        c.p, c.end = data, data + size
        if not cl_take(&c, b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":"'):
            return SURPRISE
        if cl_take(&c, b'book.'):
            kind = BOOK
        elif cl_take(&c, b'quote.'):
            kind = QUOTE
        elif cl_take(&c, b'trades.'):
            kind = TRADES
        else:
            return SURPRISE
        if not self._channel(&c, kind != QUOTE):
            return SURPRISE
        if kind == BOOK:
            ok = self._book(&c)
        elif kind == QUOTE:
            ok = self._quote(&c)
        else:
            ok = self._trades(&c)
        return kind if ok and cl_take(&c, b'}}') and c.p == c.end else SURPRISE

    cdef bint _channel(self, Cursor* c, bint interval) noexcept nogil:
        """`<symbol>.<interval>","data":`"""
        cdef const char* name = c.p
        while c.p < c.end and c.p[0] != b'.' and c.p[0] != b'"':
            c.p += 1
        self.found.entry = self.symbols.find(name, c.p - name)
        if self.found.entry == NULL:
            return False
        if interval and not (cl_take(c, b'.100ms') or cl_take(c, b'.raw') or cl_take(c, b'.agg2')):
            return False
        return cl_take(c, b'","data":')

    cdef inline bint _instrument(self, Cursor* c) noexcept nogil:
        """`"<symbol>"`, which must be the channel's."""
        cdef SymbolEntry* entry = self.found.entry
        if not cl_take(c, b'"') or c.end - c.p < entry.size or memcmp(c.p, entry.symbol, entry.size) != 0:
            return False
        c.p += entry.size
        return cl_take(c, b'"')

    cdef bint _book(self, Cursor* c) noexcept nogil:
        cdef Scanned* f = &self.found
        cdef uint32_t seen = 0
        cdef bint ok
        if not cl_take(c, b'{'):
            return False
        while True:
            if cl_take(c, b'"type":'):
                ok = _once(&seen, 64) and cl_take(c, b'"change"')
            elif cl_take(c, b'"timestamp":'):
                ok = _once(&seen, 16) and take_time(c, &f.time_ns)
            elif cl_take(c, b'"prev_change_id":'):
                ok = _once(&seen, 8) and cl_take_integer(c, &f.previous_id)
            elif cl_take(c, b'"instrument_name":'):
                ok = _once(&seen, 32) and self._instrument(c)
            elif cl_take(c, b'"change_id":'):
                ok = _once(&seen, 4) and cl_take_integer(c, &f.change_id)
            elif cl_take(c, b'"bids":'):
                ok = _once(&seen, 1) and _take_levels(c, f.entry, self.bids, &f.bid_count)
            elif cl_take(c, b'"asks":'):
                ok = _once(&seen, 2) and _take_levels(c, f.entry, self.asks, &f.ask_count)
            else:
                ok = False
            if not ok:
                return False
            if cl_take(c, b','):
                continue
            return cl_take(c, b'}') and seen & 63 == 63

    cdef bint _quote(self, Cursor* c) noexcept nogil:
        cdef Scanned* f = &self.found
        cdef uint32_t seen = 0
        cdef bint ok
        if not cl_take(c, b'{'):
            return False
        while True:
            if cl_take(c, b'"timestamp":'):
                ok = _once(&seen, 16) and take_time(c, &f.time_ns)
            elif cl_take(c, b'"instrument_name":'):
                ok = _once(&seen, 32) and self._instrument(c)
            elif cl_take(c, b'"best_ask_price":'):
                ok = _once(&seen, 4) and _take_number_or_null(c, f.entry.price_scale, &f.ask_price)
            elif cl_take(c, b'"best_bid_price":'):
                ok = _once(&seen, 1) and _take_number_or_null(c, f.entry.price_scale, &f.bid_price)
            elif cl_take(c, b'"best_ask_amount":'):
                ok = _once(&seen, 8) and _take_number_or_null(c, f.entry.quantity_scale, &f.ask_quantity)
            elif cl_take(c, b'"best_bid_amount":'):
                ok = _once(&seen, 2) and _take_number_or_null(c, f.entry.quantity_scale, &f.bid_quantity)
            else:
                ok = False
            if not ok:
                return False
            if cl_take(c, b','):
                continue
            if not cl_take(c, b'}') or seen != 63:
                return False
            if f.bid_price == 0 or f.bid_quantity == 0:
                f.bid_price = f.bid_quantity = 0
            if f.ask_price == 0 or f.ask_quantity == 0:
                f.ask_price = f.ask_quantity = 0
            return True

    cdef bint _trades(self, Cursor* c) noexcept nogil:
        cdef Py_ssize_t n = 0
        if not cl_take(c, b'['):
            return False
        while True:
            if n == MAX_TRADES or not self._trade(c, &self.trades[n]):
                return False
            n += 1
            if cl_take(c, b','):
                continue
            self.found.trade_count = n
            return cl_take(c, b']')

    cdef bint _trade(self, Cursor* c, Trade* trade) noexcept nogil:
        cdef SymbolEntry* entry = self.found.entry
        cdef const char* key
        cdef Py_ssize_t size
        cdef uint32_t seen = 0
        cdef bint ok
        if not cl_take(c, b'{'):
            return False
        while True:
            if cl_take(c, b'"timestamp":'):
                ok = _once(&seen, 8) and take_time(c, &trade.time_ns)
            elif cl_take(c, b'"price":'):
                ok = _once(&seen, 1) and _take_number(c, entry.price_scale, &trade.price) and trade.price != 0
            elif cl_take(c, b'"amount":'):
                ok = _once(&seen, 2) and _take_number(c, entry.quantity_scale, &trade.quantity)
            elif cl_take(c, b'"direction":'):
                ok = _once(&seen, 32)
                if cl_take(c, b'"buy"'):
                    trade.side = _BUY
                elif cl_take(c, b'"sell"'):
                    trade.side = _SELL
                else:
                    ok = False
            elif cl_take(c, b'"instrument_name":'):
                ok = _once(&seen, 16) and self._instrument(c)
            elif cl_take(c, b'"trade_seq":'):
                ok = _once(&seen, 4) and cl_take_integer(c, &trade.sequence)
            elif cl_take(c, b'"trade_id":'):
                ok = _once(&seen, 64) and c.p < c.end and c.p[0] == b'"' and _skip_scalar(c)
            else:
                ok = _take_key(c, &key, &size) and _key_is_plain(key, size) and _skip_scalar(c)
            if not ok:
                return False
            if cl_take(c, b','):
                continue
            return cl_take(c, b'}') and seen == 127

    # --- the same as Python objects: tests, bench, and deltas that the sequencer has to judge ---------------------------
    cdef object event(self, int kind):
        cdef Scanned* f = &self.found
        cdef Trade* trade
        cdef str symbol
        cdef Py_ssize_t i
        symbol = self.symbol_of(f.entry)
        if kind == BOOK:
            return BookDelta(symbol, f.change_id, f.change_id, f.previous_id, f.time_ns,
                             pairs(self.bids, f.bid_count), pairs(self.asks, f.ask_count))
        if kind == QUOTE:
            return BestQuote(symbol, 0, f.time_ns, f.bid_price, f.bid_quantity, f.ask_price, f.ask_quantity)
        trades = []
        for i in range(f.trade_count):
            trade = &self.trades[i]
            side = Side.BUY if trade.side == _BUY else Side.SELL
            trades.append(PublicTrade(symbol, trade.sequence, trade.time_ns, trade.price, trade.quantity, side))
        return PublicTrades(tuple(trades))


cdef class MarketListener(FrameListener):
    """Frame buffer -> ring, for one connection.

    `handler` gets what is rare, in the order of arrival, and must not raise:
        on_surprise(payload: bytes, receive_time_ns)    the declared decoder has the word
        on_delta(feed, delta, receive_time_ns)          the book is not live, or the delta does not follow
        on_crossed(feed)                                a delta that follows made the book cross; it is withdrawn
    """

    cdef FrameScanner scanner
    cdef object handler
    cdef Counter frames_counter, surprises_counter

    def __init__(self, FrameScanner scanner not None, handler, counters):
        self.scanner = scanner
        self.handler = handler
        counters.declare(COUNTERS)
        self.frames_counter = counters.counter("frames")
        self.surprises_counter = counters.counter("surprises")

    cdef int on_payload(self, const char* data, Py_ssize_t size, int64_t receive_time_ns) except -1:
        cdef FrameScanner scanner = self.scanner
        cdef int kind = scanner.scan(data, size)
        cdef Scanned* f = &scanner.found
        cdef Trade* trade
        cdef InstrumentFeed feed
        cdef Py_ssize_t i
        self.frames_counter.bump(1)
        if kind == SURPRISE:
            self.surprises_counter.bump(1)
            self.handler.on_surprise(data[:size], receive_time_ns)
            return 0
        feed = <InstrumentFeed> f.entry.feed
        if kind == QUOTE:
            feed.quote(0, f.bid_price, f.bid_quantity, f.ask_price, f.ask_quantity, f.time_ns, receive_time_ns)
        elif kind == BOOK:
            feed.note_depth(f.time_ns, receive_time_ns)
            if not feed.follows(f.previous_id):
                self.handler.on_delta(feed, scanner.event(BOOK), receive_time_ns)
            elif feed.update(scanner.bids, f.bid_count, scanner.asks, f.ask_count, f.change_id, f.time_ns, receive_time_ns):
                self.handler.on_crossed(feed)
        else:
            for i in range(f.trade_count):
                trade = &scanner.trades[i]
                feed.trade(trade.sequence, trade.price, trade.quantity, trade.side, False, 1, trade.time_ns,
                           receive_time_ns)
        return 0
