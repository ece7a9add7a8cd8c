# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The hot public frames, scanned in place: bytes -> numbers -> book -> ring without one Python object.

The rule: the scanner knows the recorded key orders (2021 to 2026) byte by byte and verifies every one of them as it
goes; at the first byte that is not as expected it gives up and says SURPRISE, and the declared decoder (codec.py) has
the word. So it may refuse too much but never reads a value from the wrong place, never looks at or behind the end of
the frame, and nothing is applied before the whole frame was understood. What it accepts, the declared decoder decodes
to the same event (tests/exchanges/binance/test_fast_decode.py).

Frames, bare or in the combined wrapper {"stream":"<name>","data":<frame>}; parts in () came with later years:
    {"e":"depthUpdate","E":,"T":,"s":"",("ps":"",)"U":,"u":,"pu":,"b":[["",""]],"a":[](,"st":1)}
    {"e":"bookTicker","u":,"s":"",("ps":"",)"b":"","B":"","a":"","A":"","T":,"E":(,"st":1)}
    {"e":"trade","E":,"T":,"s":"",("ps":"",)"t":,"p":"","q":"","X":"MARKET","m":(,"st":1)}
    {"e":"aggTrade","E":,"a":,"s":"",("ps":"",)"p":"","q":"",("nq":"",)"f":,"l":,"T":,"m":(,"st":1)}

Who calls it: MarketListener is the receiving end of subscriber.py's connections; FrameScanner alone is for tests and
bench. One thread.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from exchanges.decimal_text cimport cl_scan_decimal
from exchanges.frame_cursor cimport Cursor, cl_take, cl_take_integer, take_flag, take_text, take_time
from exchanges.frame_listener cimport FrameListener
from exchanges.frame_scanner cimport MAX_LEVELS, SURPRISE, Scanner, pairs
from exchanges.instrument_feed cimport InstrumentFeed
from exchanges.order_book cimport Level
from exchanges.symbol_table cimport SymbolEntry
from shm.counters cimport Counter

from exchanges.market_events import BestQuote, BookDelta, PublicTrade
from shm.layout import Side

COUNTERS = ("frames", "surprises")
"""`surprises`: frames left to the declared decoder. Mark prices always are, one a second and instrument."""

cdef uint64_t _MAX_COUNT = 0xFFFF_FFFF

cdef uint8_t _BUY = Side.BUY, _SELL = Side.SELL


cdef enum:                      # kinds of frames, beside SURPRISE
    DEPTH = 1
    QUOTE = 2
    TRADE = 3
    AGGREGATED_TRADE = 4


cdef struct Scanned:
    SymbolEntry* entry
    int64_t event_time_ns
    int64_t trade_time_ns
    uint64_t first_id           # depth U, trade t, aggTrade f
    uint64_t last_id            # depth and bookTicker u, aggTrade l
    uint64_t previous_id        # depth pu
    Py_ssize_t bid_count
    Py_ssize_t ask_count
    int64_t bid_price
    int64_t bid_quantity
    int64_t ask_price
    int64_t ask_quantity
    bint buyer_is_maker


cdef inline bint _take_decimal(Cursor* c, int scale, int64_t* mantissa) noexcept nogil:
    """A number; the quotes around it are the caller's."""
    cdef const char* stop = cl_scan_decimal(c.p, c.end, scale, mantissa)
    if stop == NULL:
        return False
    c.p = stop
    return True


cdef inline bint _take_level(Cursor* c, SymbolEntry* entry, int64_t* price, int64_t* quantity) noexcept nogil:
    """price","quantity"""
    return (
        _take_decimal(c, entry.price_scale, price) and cl_take(c, b'","')
        and _take_decimal(c, entry.quantity_scale, quantity)
    )


cdef bint _take_levels(Cursor* c, SymbolEntry* entry, Level* levels, Py_ssize_t* count) noexcept nogil:
    cdef Py_ssize_t n = 0
    if not cl_take(c, b'['):
        return False
    if not cl_take(c, b']'):
        while True:
            if n == MAX_LEVELS:
                return False
            if not (cl_take(c, b'["') and _take_level(c, entry, &levels[n].price, &levels[n].quantity) and cl_take(c, b'"]')):
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


cdef inline bint _skip_decimal(Cursor* c) noexcept nogil:
    """A number that nobody reads, any scale."""
    while c.p < c.end and (b'0' <= c.p[0] <= b'9' or c.p[0] == b'.'):
        c.p += 1
    return True


cdef bint _take_speed(Cursor* c) noexcept nogil:
    """The rest of a delta stream's name, "@100ms". Partial books ("@depth5@100ms") say depthUpdate too, and are none."""
    cdef uint64_t milliseconds
    return cl_take(c, b'@') and cl_take_integer(c, &milliseconds) and cl_take(c, b'ms') and c.p == c.end


cdef inline bint _finish(Cursor* c, bint wrapped) noexcept nogil:
    cl_take(c, b',"st":1')
    return cl_take(c, b'}') and (not wrapped or cl_take(c, b'}')) and c.p == c.end


cdef class FrameScanner(Scanner):
    """The instruments it knows, and room for one decoded frame."""

    cdef Scanned found

    def add(self, str symbol not None, int price_scale, int quantity_scale, feed=None):
        """Know this symbol. Symbols too long for the table stay with the declared decoder."""
        self.symbols.add(symbol, price_scale, quantity_scale, feed, symbol.lower())

    # --- the scan ---------------------------------------------------------------------------------------------------
    cdef int scan(self, const char* data, Py_ssize_t size) noexcept nogil:
        """What the frame is; its numbers stand in `found`, its levels in `bids` and `asks`, until the next call."""
        cdef Cursor c
        cdef const char* stream = NULL
        cdef Py_ssize_t stream_size = 0
        c.p, c.end = data, data + size
        if cl_take(&c, b'{"stream":"'):
            if not take_text(&c, &stream, &stream_size) or not cl_take(&c, b',"data":'):
                return SURPRISE
        if not cl_take(&c, b'{"e":"'):
            return SURPRISE
        if cl_take(&c, b'bookTicker"'):
            return QUOTE if self._quote(&c, stream, stream_size) else SURPRISE
        if cl_take(&c, b'depthUpdate"'):
            return DEPTH if self._depth(&c, stream, stream_size) else SURPRISE
        if cl_take(&c, b'trade"'):
            return TRADE if self._trade(&c, stream, stream_size) else SURPRISE
        if cl_take(&c, b'aggTrade"'):
            return AGGREGATED_TRADE if self._aggregated_trade(&c, stream, stream_size) else SURPRISE
        return SURPRISE

    cdef bint _symbol(self, Cursor* c, const char* stream, Py_ssize_t stream_size, const char* suffix) noexcept nogil:
        """`"s":"<symbol>",` and the pair where it is the symbol; in a wrapper the stream must be this symbol's `suffix`."""
        cdef const char* name
        cdef SymbolEntry* entry
        cdef Cursor rest
        if not cl_take(c, b'"s":"'):
            return False
        name = c.p
        while c.p < c.end and c.p[0] != b'"':
            c.p += 1
        entry = self.symbols.find(name, c.p - name)
        if entry == NULL or not cl_take(c, b'",'):
            return False
        if stream != NULL:
            if stream_size < entry.stream_size or memcmp(stream, entry.stream, entry.stream_size) != 0:
                return False
            rest.p, rest.end = stream + entry.stream_size, stream + stream_size
            if not cl_take(&rest, suffix):
                return False
            if rest.p != rest.end and not (suffix[1] == b'd' and _take_speed(&rest)):
                return False
        if cl_take(c, b'"ps":"'):
            if c.end - c.p < entry.size or memcmp(c.p, entry.symbol, entry.size) != 0:
                return False
            c.p += entry.size
            if not cl_take(c, b'",'):
                return False
        self.found.entry = entry
        return True

    cdef bint _depth(self, Cursor* c, const char* stream, Py_ssize_t stream_size) noexcept nogil:
        cdef Scanned* f = &self.found
        cdef bint ok = (
            cl_take(c, b',"E":') and take_time(c, &f.event_time_ns)
            and cl_take(c, b',"T":') and take_time(c, &f.trade_time_ns)
            and cl_take(c, b',') and self._symbol(c, stream, stream_size, b'@depth')
            and cl_take(c, b'"U":') and cl_take_integer(c, &f.first_id)
            and cl_take(c, b',"u":') and cl_take_integer(c, &f.last_id)
            and cl_take(c, b',"pu":') and cl_take_integer(c, &f.previous_id)
            and f.first_id <= f.last_id
            and cl_take(c, b',"b":') and _take_levels(c, f.entry, self.bids, &f.bid_count)
            and cl_take(c, b',"a":') and _take_levels(c, f.entry, self.asks, &f.ask_count)
        )
        return ok and _finish(c, stream != NULL)

    cdef bint _quote(self, Cursor* c, const char* stream, Py_ssize_t stream_size) noexcept nogil:
        cdef Scanned* f = &self.found
        cdef bint ok = (
            cl_take(c, b',"u":') and cl_take_integer(c, &f.last_id)
            and cl_take(c, b',') and self._symbol(c, stream, stream_size, b'@bookTicker')
            and cl_take(c, b'"b":"') and _take_decimal(c, f.entry.price_scale, &f.bid_price)
            and cl_take(c, b'","B":"') and _take_decimal(c, f.entry.quantity_scale, &f.bid_quantity)
            and cl_take(c, b'","a":"') and _take_decimal(c, f.entry.price_scale, &f.ask_price)
            and cl_take(c, b'","A":"') and _take_decimal(c, f.entry.quantity_scale, &f.ask_quantity)
            and cl_take(c, b'","T":') and take_time(c, &f.trade_time_ns)
            and cl_take(c, b',"E":') and take_time(c, &f.event_time_ns)
        )
        if not ok or (f.bid_price == 0 and f.bid_quantity) or (f.ask_price == 0 and f.ask_quantity):
            return False
        return _finish(c, stream != NULL)

    cdef bint _trade(self, Cursor* c, const char* stream, Py_ssize_t stream_size) noexcept nogil:
        cdef Scanned* f = &self.found
        cdef bint ok = (
            cl_take(c, b',"E":') and take_time(c, &f.event_time_ns)
            and cl_take(c, b',"T":') and take_time(c, &f.trade_time_ns)
            and cl_take(c, b',') and self._symbol(c, stream, stream_size, b'@trade')
            and cl_take(c, b'"t":') and cl_take_integer(c, &f.first_id)
            and cl_take(c, b',"p":"') and _take_decimal(c, f.entry.price_scale, &f.bid_price)
            and cl_take(c, b'","q":"') and _take_decimal(c, f.entry.quantity_scale, &f.bid_quantity)
            and cl_take(c, b'","X":"MARKET","m":') and take_flag(c, &f.buyer_is_maker)
        )
        return ok and f.bid_price != 0 and _finish(c, stream != NULL)

    cdef bint _aggregated_trade(self, Cursor* c, const char* stream, Py_ssize_t stream_size) noexcept nogil:
        cdef Scanned* f = &self.found
        cdef uint64_t aggregate_id
        if not (
            cl_take(c, b',"E":') and take_time(c, &f.event_time_ns)
            and cl_take(c, b',"a":') and cl_take_integer(c, &aggregate_id)
            and cl_take(c, b',') and self._symbol(c, stream, stream_size, b'@aggTrade')
            and cl_take(c, b'"p":"') and _take_decimal(c, f.entry.price_scale, &f.bid_price)
            and cl_take(c, b'","q":"') and _take_decimal(c, f.entry.quantity_scale, &f.bid_quantity)
            and cl_take(c, b'",')
        ):
            return False
        if cl_take(c, b'"nq":"') and not (_skip_decimal(c) and cl_take(c, b'",')):
            return False
        if not (
            cl_take(c, b'"f":') and cl_take_integer(c, &f.first_id)
            and cl_take(c, b',"l":') and cl_take_integer(c, &f.last_id)
            and cl_take(c, b',"T":') and take_time(c, &f.trade_time_ns)
            and cl_take(c, b',"m":') and take_flag(c, &f.buyer_is_maker)
        ):
            return False
        if f.bid_price == 0 or f.first_id > f.last_id or f.last_id - f.first_id >= _MAX_COUNT:
            return False
        return _finish(c, stream != NULL)

    # --- the same as Python objects: tests, bench, and deltas that the sequencer has to judge ---------------------------
    cdef object event(self, int kind):
        cdef Scanned* f = &self.found
        cdef str symbol
        symbol = self.symbol_of(f.entry)
        if kind == DEPTH:
            return BookDelta(symbol, f.first_id, f.last_id, f.previous_id, f.event_time_ns,
                             pairs(self.bids, f.bid_count), pairs(self.asks, f.ask_count))
        if kind == QUOTE:
            return BestQuote(symbol, f.last_id, f.event_time_ns, f.bid_price, f.bid_quantity, f.ask_price, f.ask_quantity)
        side = Side.SELL if f.buyer_is_maker else Side.BUY
        if kind == TRADE:
            return PublicTrade(symbol, f.first_id, f.trade_time_ns, f.bid_price, f.bid_quantity, side)
        return PublicTrade(symbol, f.first_id, f.trade_time_ns, f.bid_price, f.bid_quantity, side, True,
                           f.last_id - f.first_id + 1)


cdef class MarketListener(FrameListener):
    """Frame buffer -> ring, for one connection.

    `handler` gets what is rare, in the order of arrival, and must not raise:
        on_surprise(payload: bytes, receive_time_ns)    the declared decoder has the word
        on_delta(feed, delta, receive_time_ns)          the book is not live, or the delta does not follow
        on_crossed(feed)                                a delta that follows made the book cross; it is withdrawn
        on_applied(feed, delta)                         a delta of a book that is `tapped` was applied and published
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
        cdef InstrumentFeed feed
        self.frames_counter.bump(1)
        if kind == SURPRISE:
            self.surprises_counter.bump(1)
            self.handler.on_surprise(data[:size], receive_time_ns)
            return 0
        feed = <InstrumentFeed> f.entry.feed
        if kind == QUOTE:
            feed.quote(f.last_id, f.bid_price, f.bid_quantity, f.ask_price, f.ask_quantity, f.event_time_ns, receive_time_ns)
        elif kind == DEPTH:
            feed.note_depth(f.event_time_ns, receive_time_ns)
            if not feed.follows(f.previous_id):
                self.handler.on_delta(feed, scanner.event(DEPTH), receive_time_ns)
            elif feed.update(scanner.bids, f.bid_count, scanner.asks, f.ask_count, f.last_id, f.event_time_ns, receive_time_ns):
                self.handler.on_crossed(feed)
            elif feed.tapped:
                self.handler.on_applied(feed, scanner.event(DEPTH))
        elif kind == TRADE:
            feed.trade(f.first_id, f.bid_price, f.bid_quantity, _SELL if f.buyer_is_maker else _BUY, False, 1,
                       f.trade_time_ns, receive_time_ns)
        else:
            feed.trade(f.first_id, f.bid_price, f.bid_quantity, _SELL if f.buyer_is_maker else _BUY, True,
                       <uint32_t> (f.last_id - f.first_id + 1), f.trade_time_ns, receive_time_ns)
        return 0
