# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The hot public frames, scanned in place: bytes -> numbers -> book -> ring without one Python object.

The rule: the scanner knows the venue's key order, which is that of its description, byte by byte and verifies every key
as it goes; at the first byte that is not as expected it gives up and says SURPRISE, and the declared decoder (codec.py)
has the word. So it may refuse too much but never reads a value from the wrong place, never looks at or behind the end
of the frame, and nothing is applied before the whole frame was understood. What it accepts, the declared decoder
decodes to the same event (tests/exchanges/grvt/test_fast_decode.py).

Frames with full names; parts in () may be missing, lite frames are the same with short keys:
    {"stream":"v1.book.d","selector":"<symbol>@..","sequence_number":"","feed":<feed>,"prev_sequence_number":""}
    v1.book  {"event_time":"","instrument":"","bids":[{"price":"","size":"","num_orders":}],"asks":[]}
    v1.mini  {"event_time":"","instrument":""(,"mark_price":"",..)(,"best_bid_price":"")(,"best_bid_size":"")
             (,"best_ask_price":"")(,"best_ask_size":"")}
    v1.trade {"event_time":"","instrument":"","is_taker_buyer":,"size":"","price":""(,"mark_price":"",..),
             "trade_id":"<n>-<n>","venue":"","is_rpi":}

Who calls it: MarketListener is the receiving end of subscriber.py's connection; FrameScanner alone is for tests and
bench. One thread.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcmp

from exchanges.decimal_text cimport cl_scan_decimal
from exchanges.frame_cursor cimport Cursor, cl_take, cl_take_digits, cl_take_integer, take_flag, take_text
from exchanges.frame_listener cimport FrameListener
from exchanges.frame_scanner cimport MAX_LEVELS, SURPRISE, Scanner, pairs
from exchanges.grvt.quote_sequencer cimport (
    ASK_PRICE, ASK_QUANTITY, BID_PRICE, BID_QUANTITY, QUOTE_GAP, QUOTE_GOOD, QuoteSequencer, QuoteStep,
)
from exchanges.instrument_feed cimport InstrumentFeed
from exchanges.order_book cimport Level
from exchanges.symbol_table cimport SymbolEntry
from shm.counters cimport Counter

from exchanges.market_events import BookDelta, BookSnapshot, PublicTrade, QuoteChange
from shm.layout import Side

COUNTERS = ("frames", "surprises", "late_quote_changes")
"""`surprises`: frames left to the declared decoder: tickers, snapshots, replies and replayed trades always are."""

cdef enum:
    MAX_TRADE_INDEX = 0xFFFF
    TRADE_INDEX_BITS = 16       # as codec.TRADE_INDEX_BITS

cdef uint64_t _MAX_TIME_NS = 9_000_000_000_000_000_000
cdef uint64_t _MAX_EXECUTION = 99_999_999_999_999

cdef uint8_t _BUY = Side.BUY, _SELL = Side.SELL

cdef extern from *:
    """
    /* A key in the spelling of the connection; both are literals. */
    static inline __attribute__((always_inline)) int cl_key(cl_cursor *c, int lite, const char *full, const char *brief) {
        return lite ? cl_take(c, brief) : cl_take(c, full);
    }
    """
    bint cl_key(Cursor* c, bint lite, const char* full, const char* brief) noexcept nogil


cdef enum:                      # kinds of frames, beside SURPRISE
    BOOK = 1
    SNAPSHOT = 2
    QUOTE = 3
    TRADE = 4


cdef class Link:
    """What hangs on one instrument. `feed` is None in a scanner that only decodes."""

    cdef InstrumentFeed feed
    cdef QuoteSequencer quotes


cdef struct Scanned:
    SymbolEntry* entry
    int64_t time_ns
    uint64_t sequence
    uint64_t previous
    Py_ssize_t bid_count
    Py_ssize_t ask_count
    int bits                    # of a mini ticker
    int64_t bid_price           # price and size of a trade as well
    int64_t bid_quantity
    int64_t ask_price
    int64_t ask_quantity
    uint64_t trade_id
    bint taker_buys


cdef inline bint _take_decimal(Cursor* c, int scale, int64_t* mantissa) noexcept nogil:
    """A number and the quote behind it."""
    cdef const char* stop = cl_scan_decimal(c.p, c.end, scale, mantissa)
    if stop == NULL:
        return False
    c.p = stop
    return cl_take(c, b'"')


cdef inline bint _take_or_none(Cursor* c, int scale, int64_t* mantissa) noexcept nogil:
    """The same, or nothing at all between the quotes: there is none, which is zero."""
    if cl_take(c, b'"'):
        mantissa[0] = 0
        return True
    return _take_decimal(c, scale, mantissa)


cdef inline bint _take_sequence(Cursor* c, uint64_t* sequence) noexcept nogil:
    return cl_take_integer(c, sequence) and cl_take(c, b'"')


cdef inline bint _take_nanoseconds(Cursor* c, int64_t* time_ns) noexcept nogil:
    """A string of at most 19 digits, and the quote behind it."""
    cdef uint64_t value
    cdef int digits = cl_take_digits(c, &value)
    time_ns[0] = <int64_t> value
    return digits > 0 and value <= _MAX_TIME_NS and cl_take(c, b'"')


cdef inline bint _skip_number(Cursor* c) noexcept nogil:
    """A number as text that nobody reads, and the quote behind it."""
    while c.p < c.end and (b'0' <= c.p[0] <= b'9' or c.p[0] == b'.' or c.p[0] == b'-'):
        c.p += 1
    return cl_take(c, b'"')


cdef inline bint _skip_word(Cursor* c) noexcept nogil:
    """An enum's word, and the quote behind it."""
    while c.p < c.end and (b'A' <= c.p[0] <= b'Z' or c.p[0] == b'_'):
        c.p += 1
    return cl_take(c, b'"')


cdef bint _take_levels(Cursor* c, bint lite, SymbolEntry* entry, Level* levels, Py_ssize_t* count) noexcept nogil:
    cdef Py_ssize_t n = 0
    cdef uint64_t orders
    if not cl_take(c, b'['):
        return False
    if not cl_take(c, b']'):
        while True:
            if n == MAX_LEVELS:
                return False
            if not (
                cl_key(c, lite, b'{"price":"', b'{"p":"') and _take_decimal(c, entry.price_scale, &levels[n].price)
                and cl_key(c, lite, b',"size":"', b',"s":"')
                and _take_decimal(c, entry.quantity_scale, &levels[n].quantity)
                and cl_key(c, lite, b',"num_orders":', b',"no":') and cl_take_integer(c, &orders) and cl_take(c, b'}')
            ):
                return False
            if levels[n].price == 0:
                return False
            n += 1
            if cl_take(c, b','):
                continue
            if cl_take(c, b']'):
                break
            return False
    count[0] = n
    return True


cdef class FrameScanner(Scanner):
    """The instruments it knows, and room for one decoded frame."""

    cdef Scanned found
    cdef dict links
    cdef bint lite, check_gaps

    def __init__(self, *, bint lite=False, bint check_gaps=True):
        self.links = {}
        self.lite = lite
        self.check_gaps = check_gaps

    def add(self, str symbol not None, int price_scale, int quantity_scale, feed=None):
        """Know this symbol. Symbols too long for the table stay with the declared decoder."""
        cdef Link link = Link()
        link.feed = feed
        link.quotes = QuoteSequencer(self.check_gaps)
        self.symbols.add(symbol, price_scale, quantity_scale, link)
        self.links[symbol] = link

    def quotes(self, str symbol not None):
        """The QuoteSequencer of a symbol that was added."""
        return (<Link> self.links[symbol]).quotes

    # --- the scan ---------------------------------------------------------------------------------------------------
    cdef int scan(self, const char* data, Py_ssize_t size) noexcept nogil:
        """What the frame is; its numbers stand in `found`, its levels in `bids` and `asks`, until the next call."""
        cdef Cursor c
        cdef Scanned* f = &self.found
        cdef bint lite = self.lite, whole = False
        cdef int kind
        c.p, c.end = data, data + size
        if not cl_key(&c, lite, b'{"stream":"v1.', b'{"s":"v1.'):
            return SURPRISE
        if cl_take(&c, b'book.'):
            kind = BOOK
        elif cl_take(&c, b'mini.'):
            kind = QUOTE
        elif cl_take(&c, b'trade"'):
            kind = TRADE
        else:
            return SURPRISE
        if kind != TRADE:
            whole = cl_take(&c, b's"')
            if not whole and not cl_take(&c, b'd"'):
                return SURPRISE
        if not (
            cl_key(&c, lite, b',"selector":"', b',"s1":"') and self._selector(&c)
            and cl_key(&c, lite, b',"sequence_number":"', b',"sn":"') and _take_sequence(&c, &f.sequence)
            and cl_key(&c, lite, b',"feed":{"event_time":"', b',"f":{"et":"') and _take_nanoseconds(&c, &f.time_ns)
            and self._instrument(&c, lite)
        ):
            return SURPRISE
        if kind == BOOK:
            if not (
                cl_key(&c, lite, b',"bids":', b',"b":') and _take_levels(&c, lite, f.entry, self.bids, &f.bid_count)
                and cl_key(&c, lite, b',"asks":', b',"a":') and _take_levels(&c, lite, f.entry, self.asks, &f.ask_count)
            ):
                return SURPRISE
            if whole or f.sequence == 0:
                kind = SNAPSHOT
        elif kind == QUOTE:
            if not self._quote(&c, lite):
                return SURPRISE
        elif f.sequence == 0 or not self._trade(&c, lite):
            return SURPRISE
        if not (
            cl_key(&c, lite, b'},"prev_sequence_number":"', b'},"ps":"') and _take_sequence(&c, &f.previous)
            and cl_take(&c, b'}') and c.p == c.end
        ):
            return SURPRISE
        if kind == QUOTE and (whole or f.sequence == 0):
            f.sequence = f.previous = 0
        return kind

    cdef bint _selector(self, Cursor* c) noexcept nogil:
        """`<symbol>@..`, and the quote behind it."""
        cdef const char* name
        cdef Py_ssize_t size
        if not take_text(c, &name, &size):
            return False
        # What stands behind the last @ is not read, but bytes that are no JSON must not pass.
        while size > 0 and name[size - 1] != b'@':
            size -= 1
            if not b' ' <= name[size] <= b'~':
                return False
        self.found.entry = self.symbols.find(name, size - 1)
        return self.found.entry != NULL

    cdef bint _instrument(self, Cursor* c, bint lite) noexcept nogil:
        """The instrument, which must be the one that the selector names."""
        cdef SymbolEntry* entry = self.found.entry
        if not cl_key(c, lite, b',"instrument":"', b',"i":"'):
            return False
        if c.end - c.p < entry.size or memcmp(c.p, entry.symbol, entry.size) != 0:
            return False
        c.p += entry.size
        return cl_take(c, b'"')

    cdef bint _skip_other_prices(self, Cursor* c, bint lite) noexcept nogil:
        """What a mini ticker may carry in front of the best bid."""
        if cl_key(c, lite, b',"mark_price":"', b',"mp":"') and not _skip_number(c):
            return False
        if cl_key(c, lite, b',"index_price":"', b',"ip":"') and not _skip_number(c):
            return False
        if cl_key(c, lite, b',"last_price":"', b',"lp":"') and not _skip_number(c):
            return False
        if cl_key(c, lite, b',"last_size":"', b',"ls":"') and not _skip_number(c):
            return False
        if cl_key(c, lite, b',"mid_price":"', b',"mp1":"') and not _skip_number(c):
            return False
        return True

    cdef bint _quote(self, Cursor* c, bint lite) noexcept nogil:
        cdef Scanned* f = &self.found
        cdef SymbolEntry* entry = f.entry
        f.bits = 0
        if c.end - c.p > 2 and c.p[2] != b'b' and not self._skip_other_prices(c, lite):
            return False
        if cl_key(c, lite, b',"best_bid_price":"', b',"bb":"'):
            f.bits |= BID_PRICE
            if not _take_or_none(c, entry.price_scale, &f.bid_price):
                return False
        if cl_key(c, lite, b',"best_bid_size":"', b',"bb1":"'):
            f.bits |= BID_QUANTITY
            if not _take_or_none(c, entry.quantity_scale, &f.bid_quantity):
                return False
        if cl_key(c, lite, b',"best_ask_price":"', b',"ba":"'):
            f.bits |= ASK_PRICE
            if not _take_or_none(c, entry.price_scale, &f.ask_price):
                return False
        if cl_key(c, lite, b',"best_ask_size":"', b',"ba1":"'):
            f.bits |= ASK_QUANTITY
            if not _take_or_none(c, entry.quantity_scale, &f.ask_quantity):
                return False
        return True

    cdef bint _trade(self, Cursor* c, bint lite) noexcept nogil:
        cdef Scanned* f = &self.found
        cdef uint64_t execution, index
        cdef bint is_rpi
        if not (
            cl_key(c, lite, b',"is_taker_buyer":', b',"it":') and take_flag(c, &f.taker_buys)
            and cl_key(c, lite, b',"size":"', b',"s":"') and _take_decimal(c, f.entry.quantity_scale, &f.bid_quantity)
            and cl_key(c, lite, b',"price":"', b',"p":"') and _take_decimal(c, f.entry.price_scale, &f.bid_price)
            and f.bid_price != 0
        ):
            return False
        if cl_key(c, lite, b',"mark_price":"', b',"mp":"') and not _skip_number(c):
            return False
        if cl_key(c, lite, b',"index_price":"', b',"ip":"') and not _skip_number(c):
            return False
        if cl_key(c, lite, b',"interest_rate":"', b',"ir":"') and not _skip_number(c):
            return False
        if cl_key(c, lite, b',"forward_price":"', b',"fp":"') and not _skip_number(c):
            return False
        if not (
            cl_key(c, lite, b',"trade_id":"', b',"ti":"') and cl_take_integer(c, &execution) and cl_take(c, b'-')
            and cl_take_integer(c, &index) and cl_take(c, b'"')
            and execution <= _MAX_EXECUTION and index <= MAX_TRADE_INDEX
            and cl_key(c, lite, b',"venue":"', b',"v":"') and _skip_word(c)
            and cl_key(c, lite, b',"is_rpi":', b',"ir1":') and take_flag(c, &is_rpi)
        ):
            return False
        f.trade_id = execution << TRADE_INDEX_BITS | index
        return True

    # --- the same as Python objects: tests, bench, and deltas that the sequencer has to judge ---------------------------
    cdef object event(self, int kind):
        cdef Scanned* f = &self.found
        cdef str symbol
        symbol = self.symbol_of(f.entry)
        if kind == QUOTE:
            return QuoteChange(symbol, f.sequence, f.previous, f.time_ns,
                               f.bid_price if f.bits & BID_PRICE else None,
                               f.bid_quantity if f.bits & BID_QUANTITY else None,
                               f.ask_price if f.bits & ASK_PRICE else None,
                               f.ask_quantity if f.bits & ASK_QUANTITY else None)
        if kind == TRADE:
            return PublicTrade(symbol, f.trade_id, f.time_ns, f.bid_price, f.bid_quantity,
                               Side.BUY if f.taker_buys else Side.SELL)
        bids = pairs(self.bids, f.bid_count)
        asks = pairs(self.asks, f.ask_count)
        if kind == SNAPSHOT:
            return BookSnapshot(symbol, f.sequence, f.time_ns, bids, asks)
        return BookDelta(symbol, f.sequence, f.sequence, f.previous, f.time_ns, bids, asks)


cdef class MarketListener(FrameListener):
    """Frame buffer -> ring, for one connection.

    `handler` gets what is rare, in the order of arrival, and must not raise:
        on_surprise(payload: bytes, receive_time_ns)    the declared decoder has the word
        on_delta(feed, delta, receive_time_ns)          the book is not live, or the delta does not follow
        on_crossed(feed)                                a delta that follows made the book cross; it is withdrawn
        on_quote_gap(feed)                              a mini ticker is missing: no quotes until a whole one comes
    """

    cdef FrameScanner scanner
    cdef object handler
    cdef Counter frames_counter, surprises_counter, late_counter

    def __init__(self, FrameScanner scanner not None, handler, counters):
        self.scanner = scanner
        self.handler = handler
        counters.declare(COUNTERS)
        self.frames_counter = counters.counter("frames")
        self.surprises_counter = counters.counter("surprises")
        self.late_counter = counters.counter("late_quote_changes")

    cdef int on_payload(self, const char* data, Py_ssize_t size, int64_t receive_time_ns) except -1:
        cdef FrameScanner scanner = self.scanner
        cdef int kind = scanner.scan(data, size)
        cdef Scanned* f = &scanner.found
        cdef Link link
        cdef InstrumentFeed feed
        cdef QuoteSequencer quotes
        cdef QuoteStep step
        self.frames_counter.bump(1)
        if kind == SURPRISE or kind == SNAPSHOT:
            self.surprises_counter.bump(1)
            self.handler.on_surprise(data[:size], receive_time_ns)
            return 0
        link = <Link> f.entry.feed
        feed = link.feed
        if kind == QUOTE:
            quotes = link.quotes
            step = quotes.change(f.sequence, f.previous, f.bits, f.bid_price, f.bid_quantity, f.ask_price, f.ask_quantity)
            if step == QUOTE_GOOD:
                feed.quote(0, quotes.bid_price, quotes.bid_quantity if quotes.bid_price else 0,
                           quotes.ask_price, quotes.ask_quantity if quotes.ask_price else 0, f.time_ns, receive_time_ns)
            elif step == QUOTE_GAP:
                self.handler.on_quote_gap(feed)
            else:
                self.late_counter.bump(1)
        elif kind == BOOK:
            feed.note_depth(f.time_ns, receive_time_ns)
            if not feed.follows(f.previous):
                self.handler.on_delta(feed, scanner.event(BOOK), receive_time_ns)
            elif feed.update(scanner.bids, f.bid_count, scanner.asks, f.ask_count, f.sequence, f.time_ns, receive_time_ns):
                self.handler.on_crossed(feed)
        else:
            feed.trade(f.trade_id, f.bid_price, f.bid_quantity, _BUY if f.taker_buys else _SELL, False, 1, f.time_ns,
                       receive_time_ns)
        return 0
