# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""One instrument's way out: decoded numbers -> order book -> market ring, books and tickers tables. Same for all venues.

The rules
- A book goes out as good only while its sequencer vouches for it (`live`), the monitor does not object (`stale`) and it
  is not crossed. Otherwise its row in the books table is invalid and has no levels: nobody can quote on it by mistake.
- The table is the state, the ring carries data and hints. So a withdrawal is written to the table first and told in the
  ring after; a good update goes to the ring first, because its record is complete in itself and somebody waits for it.
- Quotes never go back, trades never come twice: such ids are counted and dropped (streams overlap at renewals, and one
  connection may be a little behind the other).

Every applied update is compared with the venue's own best bid and ask: the newest quote whose update id is not above the
book's. Both say the same instant, so a healthy book agrees; `book_checks` and `book_agree` count it. A venue whose quotes
have no id of the book's kind (0 here) is not compared, and its quotes are put in order by their time.

Who calls it: the venue's compiled listener (C methods), its subscriber (the `def` methods: the same for what the
declared decoder understood, and everything rare). One thread.
"""

from libc.math cimport NAN
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from exchanges.decimal_text cimport cl_powers_of_ten
from exchanges.order_book cimport Level, OrderBook
from shm.atomics cimport cl_monotonic_ns
from shm.counters cimport Counter, Histogram
from shm.records cimport (
    CL_BOOK_TABLE_DEPTH, CL_BOOK_TOP_DEPTH, CL_RECORD_SIZES, BookRowRecord, BookTopRecord, MarketStatusRecord,
    QuoteRecord, TickerRecord, TradeRecord,
)
from shm.ring cimport BroadcastWriter
from shm.table cimport TableWriter

from shm.layout import MARKET_RING_KINDS, ROW_MASK, MarketStatusCode, RecordKind, TradeFlag, slot_stride
from shm.table import TableReader
from shm.records import BookRow

COUNTERS = (
    "book_updates", "book_checks", "book_agree", "crossed", "quotes", "late_quotes", "trades", "repeated_trades",
    "ticker_updates",
)
HISTOGRAM = "frame_to_publish"
"""First byte of the frame seen here -> its last record stamped, which is written then, ns."""

cdef uint16_t _QUOTE = RecordKind.QUOTE, _TRADE = RecordKind.TRADE, _BOOK_TOP = RecordKind.BOOK_TOP
cdef uint16_t _TICKER = RecordKind.TICKER, _TICKER_ROW = RecordKind.TICKER_ROW, _BOOK_ROW = RecordKind.BOOK_ROW
cdef uint16_t _STATUS = RecordKind.MARKET_STATUS
cdef uint8_t _CROSSED = MarketStatusCode.CROSSED, _LIVE = MarketStatusCode.LIVE
cdef uint8_t _STALE = MarketStatusCode.STALE
cdef uint8_t _REPORT = TradeFlag.REPORT
# The same bits for Python: what a feed has seen, and what a new connection carries anew.
SEEN_DEPTH, SEEN_QUOTE, SEEN_TRADE = STREAM_DEPTH, STREAM_QUOTE, STREAM_TRADE
SEEN_AGGREGATED_TRADE, SEEN_TICKER, SEEN_LIQUIDATION = STREAM_AGGREGATED_TRADE, STREAM_TICKER, STREAM_LIQUIDATION
cdef double _MONEY_UNIT = 1e8
cdef uint64_t _REMEMBERED = 1024  # a power of two; quotes of about half a second at the highest recorded rate


cdef inline bint _is_new(SeenTrades* seen, uint64_t trade_id) noexcept nogil:
    """Note the id. False: it was there before, or is so old that nobody remembers."""
    cdef uint64_t distance
    if trade_id > seen.last_id:
        distance = trade_id - seen.last_id
        seen.before = (seen.before << distance) | 1 if distance < 64 and seen.last_id else 1
        seen.last_id = trade_id
        return True
    distance = seen.last_id - trade_id
    if distance >= 64 or seen.before >> distance & 1:
        return False
    seen.before |= <uint64_t> 1 << distance
    return True


cdef class MarketOutput:
    """The segments and counters that all feeds of a venue share."""

    def __init__(self, ring, books, tickers, counters):
        """`ring`, `books`, `tickers` are segments, `counters` the process's block; declares what it counts."""
        if ring.header["stride"][0] < slot_stride(*MARKET_RING_KINDS):
            raise ValueError(f"segment {ring.name}: slots of {ring.header['stride'][0]} bytes cannot hold market records")
        counters.declare(COUNTERS, [HISTOGRAM])
        self.ring = BroadcastWriter(ring)
        self.books = TableWriter(books)
        self.tickers = TableWriter(tickers)
        self.frame_to_publish = counters.histogram(HISTOGRAM)
        self.book_updates = counters.counter("book_updates")
        self.book_checks = counters.counter("book_checks")
        self.book_agree = counters.counter("book_agree")
        self.crossed = counters.counter("crossed")
        self.quotes = counters.counter("quotes")
        self.late_quotes = counters.counter("late_quotes")
        self.trades = counters.counter("trades")
        self.repeated_trades = counters.counter("repeated_trades")
        self.ticker_updates = counters.counter("ticker_updates")


cdef class InstrumentFeed:
    """Publishes one instrument. Begins withdrawn; its epoch goes on where the books row's last writer left it."""

    def __cinit__(self):
        self.remembered = <RememberedQuote*> calloc(_REMEMBERED, sizeof(RememberedQuote))
        if self.remembered == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.remembered)

    def __init__(self, MarketOutput out not None, str symbol not None, uint32_t instrument_id, int price_scale,
                 int quantity_scale):
        self.out = out
        self.symbol = symbol
        self.instrument_id = instrument_id
        self.venue = instrument_id >> 16
        self.row = instrument_id & ROW_MASK
        self.book = OrderBook(price_scale, quantity_scale)
        self.price_unit = <double> cl_powers_of_ten[price_scale]
        self.quantity_unit = <double> cl_powers_of_ten[quantity_scale]
        before = BookRow()
        if TableReader(out.books.segment).read(self.row, before):
            self.epoch = before.epoch
        self.book_row.kind = _BOOK_ROW
        self.book_row.size = CL_RECORD_SIZES[_BOOK_ROW]
        self.book_row.instrument_id = instrument_id
        self.book_row.venue = self.venue
        self._write_row(False, 0, 0)

    # --- the hot path, from C -----------------------------------------------------------------------------------------
    cdef inline bint follows(self, uint64_t previous_update_id) noexcept nogil:
        """The live half of the continuity rule: an update that names our last one as its predecessor may be applied."""
        return self.live and previous_update_id == self.update_id

    cdef void note_depth(self, int64_t exchange_time_ns, int64_t receive_time_ns) noexcept nogil:
        self.seen |= STREAM_DEPTH
        self.receive_time_ns = receive_time_ns
        self.book_receive_time_ns = receive_time_ns
        self.delay_ns = receive_time_ns - exchange_time_ns

    cdef int update(self, const Level* bids, Py_ssize_t bid_count, const Level* asks, Py_ssize_t ask_count,
                    uint64_t update_id, int64_t exchange_time_ns, int64_t receive_time_ns) except -1:
        """Apply an update that `follows`, check, publish. 1: the book is crossed now and was withdrawn."""
        self.decode_time_ns = cl_monotonic_ns()
        self.book.apply(bids, bid_count, asks, ask_count)
        self.update_id = update_id
        self.out.book_updates.bump(1)
        if self.book.is_crossed():
            self.out.crossed.bump(1)
            self.withdraw(_CROSSED)
            return 1
        self._check(update_id)
        if self.stale:
            return 0
        self._publish_book(exchange_time_ns, receive_time_ns)
        self._measure(receive_time_ns, self.book_row.publish_time_ns)
        return 0

    cdef int quote(self, uint64_t update_id, int64_t bid_price, int64_t bid_quantity, int64_t ask_price,
                   int64_t ask_quantity, int64_t exchange_time_ns, int64_t receive_time_ns) except -1:
        cdef QuoteRecord* record
        cdef RememberedQuote* memory
        self.decode_time_ns = cl_monotonic_ns()
        self.seen |= STREAM_QUOTE
        self.receive_time_ns = receive_time_ns
        if update_id <= self.last_quote_id and (update_id or exchange_time_ns < self.last_quote_time_ns):
            self.out.late_quotes.bump(1)
            return 0
        if bid_quantity and ask_quantity and bid_price >= ask_price:
            self.out.crossed.bump(1)
            return 0
        self.last_quote_id, self.last_quote_time_ns = update_id, exchange_time_ns
        record = <QuoteRecord*> self.out.ring.begin(_QUOTE)
        record.instrument_id = self.instrument_id
        record.venue = self.venue
        record.epoch = self.epoch
        record.exchange_time_ns = exchange_time_ns
        record.receive_time_ns = receive_time_ns
        record.decode_time_ns = self.decode_time_ns
        record.update_id = update_id
        record.bid_price = <double> bid_price / self.price_unit if bid_quantity else NAN
        record.bid_quantity = <double> bid_quantity / self.quantity_unit
        record.ask_price = <double> ask_price / self.price_unit if ask_quantity else NAN
        record.ask_quantity = <double> ask_quantity / self.quantity_unit
        self.out.ring.end()
        self._measure(receive_time_ns, record.publish_time_ns)
        self.out.quotes.bump(1)
        if update_id == 0:
            return 0
        memory = &self.remembered[self.remembered_end & (_REMEMBERED - 1)]
        memory.update_id = update_id
        memory.bid_price, memory.bid_quantity = bid_price, bid_quantity
        memory.ask_price, memory.ask_quantity = ask_price, ask_quantity
        self.remembered_end += 1
        if self.remembered_end - self.remembered_first > _REMEMBERED:
            self.remembered_first += 1
        return 0

    cdef int trade(self, uint64_t trade_id, int64_t price, int64_t quantity, uint8_t aggressor_side, bint aggregated,
                   uint32_t trade_count, int64_t exchange_time_ns, int64_t receive_time_ns) except -1:
        self.seen |= STREAM_AGGREGATED_TRADE if aggregated else STREAM_TRADE
        return self.flagged_trade(&self.aggregated_trades if aggregated else &self.raw_trades, trade_id, price, quantity,
                                  aggressor_side, aggregated, trade_count, 0, exchange_time_ns, receive_time_ns)

    cdef int flagged_trade(self, SeenTrades* seen, uint64_t trade_id, int64_t price, int64_t quantity,
                           uint8_t aggressor_side, bint aggregated, uint32_t trade_count, uint8_t flags,
                           int64_t exchange_time_ns, int64_t receive_time_ns) except -1:
        """`seen`: where the ids of this stream are remembered. `flags`: TradeFlag."""
        cdef TradeRecord* record
        self.decode_time_ns = cl_monotonic_ns()
        self.receive_time_ns = receive_time_ns
        if not _is_new(seen, trade_id):
            self.out.repeated_trades.bump(1)
            return 0
        record = <TradeRecord*> self.out.ring.begin(_TRADE)
        record.instrument_id = self.instrument_id
        record.venue = self.venue
        record.epoch = self.epoch
        record.exchange_time_ns = exchange_time_ns
        record.receive_time_ns = receive_time_ns
        record.decode_time_ns = self.decode_time_ns
        record.trade_id = trade_id
        record.price = <double> price / self.price_unit
        record.quantity = <double> quantity / self.quantity_unit
        record.flags = flags
        record.aggressor_side = aggressor_side
        record.aggregated = aggregated
        record.trade_count = trade_count
        self.out.ring.end()
        self._measure(receive_time_ns, record.publish_time_ns)
        self.out.trades.bump(1)
        return 0

    cdef void _measure(self, int64_t receive_time_ns, int64_t publish_time_ns) noexcept nogil:
        self.out.frame_to_publish.note(<uint64_t> (publish_time_ns - receive_time_ns))

    cdef void _check(self, uint64_t update_id) noexcept nogil:
        """Compare with the venue's own word on the same instant, where it has sent one."""
        cdef RememberedQuote* quote
        while self.remembered_first < self.remembered_end:
            quote = &self.remembered[self.remembered_first & (_REMEMBERED - 1)]
            if quote.update_id > update_id:
                break
            self.matched = quote[0]
            self.has_matched = True
            self.remembered_first += 1
        if not self.has_matched:
            return
        self.out.book_checks.bump(1)
        if self.book.best_equals(self.matched.bid_price, self.matched.bid_quantity, self.matched.ask_price,
                                 self.matched.ask_quantity):
            self.out.book_agree.bump(1)

    cdef int _publish_book(self, int64_t exchange_time_ns, int64_t receive_time_ns) except -1:
        cdef BookTopRecord* record = <BookTopRecord*> self.out.ring.begin(_BOOK_TOP)
        record.instrument_id = self.instrument_id
        record.venue = self.venue
        record.epoch = self.epoch
        record.exchange_time_ns = exchange_time_ns
        record.receive_time_ns = receive_time_ns
        record.decode_time_ns = self.decode_time_ns
        record.update_id = self.update_id
        # The row has the same levels and more: those beyond the record are worked out when the record is on its way.
        self.book.fill_row(&self.book_row, 0, CL_BOOK_TOP_DEPTH)
        record.bid_count, record.ask_count = self.book_row.bid_count, self.book_row.ask_count
        memcpy(record.bid_prices, self.book_row.bid_prices, sizeof(record.bid_prices))
        memcpy(record.bid_quantities, self.book_row.bid_quantities, sizeof(record.bid_quantities))
        memcpy(record.ask_prices, self.book_row.ask_prices, sizeof(record.ask_prices))
        memcpy(record.ask_quantities, self.book_row.ask_quantities, sizeof(record.ask_quantities))
        self.out.ring.end()
        self.status = _LIVE
        return self._write_row(True, exchange_time_ns, receive_time_ns)

    cdef int _write_row(self, bint valid, int64_t exchange_time_ns, int64_t receive_time_ns) except -1:
        cdef int i
        cdef BookRowRecord* row = &self.book_row
        row.epoch = self.epoch
        row.exchange_time_ns = exchange_time_ns
        row.receive_time_ns = receive_time_ns
        row.decode_time_ns = self.decode_time_ns
        row.update_id = self.update_id
        row.valid = valid
        row.status = self.status
        if valid:                   # _publish_book has filled the first of its levels
            self.book.fill_row(row, CL_BOOK_TOP_DEPTH, CL_BOOK_TABLE_DEPTH)
        else:
            row.bid_count = row.ask_count = 0
            for i in range(CL_BOOK_TABLE_DEPTH):
                row.bid_prices[i] = row.ask_prices[i] = NAN
                row.bid_quantities[i] = row.ask_quantities[i] = 0.0
        row.publish_time_ns = cl_monotonic_ns()
        return self.out.books.write_raw(self.row, row, row.size)

    # --- from Python: what the declared decoder understood, and what is rare --------------------------------------------
    def publish_quote(self, event, int64_t receive_time_ns):
        """A BestQuote."""
        self.quote(event.update_id, event.bid_price, event.bid_quantity, event.ask_price, event.ask_quantity,
                   event.exchange_time_ns, receive_time_ns)

    def publish_trade(self, event, int64_t receive_time_ns):
        """A PublicTrade."""
        cdef uint8_t flags = event.flags
        cdef SeenTrades* seen
        if flags & _REPORT:
            self.seen |= STREAM_LIQUIDATION
            seen = &self.liquidations
        elif event.aggregated:
            self.seen |= STREAM_AGGREGATED_TRADE
            seen = &self.aggregated_trades
        else:
            self.seen |= STREAM_TRADE
            seen = &self.raw_trades
        self.flagged_trade(seen, event.trade_id, event.price, event.quantity, event.aggressor_side, event.aggregated,
                           event.trade_count, flags, event.exchange_time_ns, receive_time_ns)

    def publish_ticker(self, event, int64_t receive_time_ns):
        """A MarkPrice: to the tickers table and the ring."""
        cdef TickerRecord row
        cdef TickerRecord* record
        self.decode_time_ns = cl_monotonic_ns()
        self.seen |= STREAM_TICKER
        self.receive_time_ns = receive_time_ns
        record = <TickerRecord*> self.out.ring.begin(_TICKER)
        record.instrument_id = self.instrument_id
        record.venue = self.venue
        record.epoch = self.epoch
        record.exchange_time_ns = event.exchange_time_ns
        record.receive_time_ns = receive_time_ns
        record.decode_time_ns = self.decode_time_ns
        record.mark_price_mantissa = event.mark_price
        record.mark_price = <double> record.mark_price_mantissa / _MONEY_UNIT
        record.index_price = event.index_price
        record.funding_rate = event.funding_rate
        record.next_funding_time_ns = event.next_funding_time_ns
        greeks = event.greeks
        if greeks is None:
            record.underlying_price = record.mark_volatility = record.bid_volatility = record.ask_volatility = NAN
            record.delta = record.gamma = record.vega = record.theta = record.rho = NAN
        else:
            record.underlying_price, record.mark_volatility = greeks.underlying_price, greeks.mark_volatility
            record.bid_volatility, record.ask_volatility = greeks.bid_volatility, greeks.ask_volatility
            record.delta, record.gamma, record.vega = greeks.delta, greeks.gamma, greeks.vega
            record.theta, record.rho = greeks.theta, greeks.rho
        record.publish_time_ns = cl_monotonic_ns()
        row = record[0]
        row.kind = _TICKER_ROW
        self.out.tickers.write_raw(self.row, &row, row.size)
        self.out.ring.end()
        self._measure(receive_time_ns, record.publish_time_ns)
        self.out.ticker_updates.bump(1)

    def note_delta(self, event, int64_t receive_time_ns):
        """A depth frame arrived, applied or not: what staleness is measured by."""
        self.note_depth(event.exchange_time_ns, receive_time_ns)

    def publish_update(self, int64_t exchange_time_ns, int64_t receive_time_ns):
        """The sequencer changed the book itself (snapshot, or a delta of the slow path). False: crossed, withdrawn."""
        self.decode_time_ns = cl_monotonic_ns()
        self.out.book_updates.bump(1)
        if self.book.is_crossed():
            self.out.crossed.bump(1)
            self.withdraw(_CROSSED)
            return False
        self._check(self.update_id)
        if not self.stale:
            self._publish_book(exchange_time_ns, receive_time_ns)
            self._measure(receive_time_ns, self.book_row.publish_time_ns)
        return True

    def publish_snapshot(self, int64_t exchange_time_ns, int64_t receive_time_ns):
        """The first good book of a new epoch: told as SNAPSHOT, the book, then LIVE. False: crossed, withdrawn."""
        if self.book.is_crossed():
            self.out.crossed.bump(1)
            self.withdraw(_CROSSED)
            return False
        self.decode_time_ns = cl_monotonic_ns()
        self.epoch += 1
        # A quote from before this book says nothing about it.
        while (self.remembered_first < self.remembered_end
               and self.remembered[self.remembered_first & (_REMEMBERED - 1)].update_id <= self.update_id):
            self.remembered_first += 1
        self.has_matched = False
        self.publish_status(MarketStatusCode.SNAPSHOT, exchange_time_ns, receive_time_ns)
        if not self.stale:
            self._publish_book(exchange_time_ns, receive_time_ns)
            self.publish_status(_LIVE, exchange_time_ns, receive_time_ns)
        return True

    def withdraw(self, int code):
        """The book is no longer good: row invalid first, then the hint. The sequencer must vouch anew."""
        self.live = False
        self.has_matched = False
        self.status = code
        self._write_row(False, 0, self.book_receive_time_ns)
        self.publish_status(code, 0, self.book_receive_time_ns)

    def set_stale(self, bint stale):
        """The monitor's objection, and its end. The sequencer goes on either way, so the book stays in step."""
        if stale == self.stale:
            return
        self.stale = stale
        if not self.live:
            return
        if stale:
            self.status = _STALE
            self._write_row(False, 0, self.book_receive_time_ns)
            self.publish_status(_STALE, 0, self.book_receive_time_ns)
        else:
            self._publish_book(self.book_receive_time_ns - self.delay_ns, self.book_receive_time_ns)
            self.publish_status(_LIVE, 0, self.book_receive_time_ns)

    def publish_status(self, int code, int64_t exchange_time_ns, int64_t receive_time_ns):
        """A MarketStatus hint into the ring."""
        cdef MarketStatusRecord* record = <MarketStatusRecord*> self.out.ring.begin(_STATUS)
        record.instrument_id = self.instrument_id
        record.venue = self.venue
        record.epoch = self.epoch
        record.exchange_time_ns = exchange_time_ns
        record.receive_time_ns = receive_time_ns
        record.decode_time_ns = self.decode_time_ns
        record.update_id = self.update_id
        record.code = code
        self.out.ring.end()

    def reconnected(self, int streams):
        """New connection for these Stream bits: ids may begin anew (the venue restarted), first messages are awaited."""
        self.seen &= ~<uint32_t> streams
        if streams & STREAM_QUOTE:
            self.last_quote_id = 0
            self.last_quote_time_ns = 0
            self.remembered_first = self.remembered_end
            self.has_matched = False
        if streams & STREAM_TRADE:
            self.raw_trades.last_id = 0
        if streams & STREAM_AGGREGATED_TRADE:
            self.aggregated_trades.last_id = 0
        if streams & STREAM_LIQUIDATION:
            self.liquidations.last_id = 0

    @property
    def good(self):
        """The row in the books table is valid."""
        return self.live and not self.stale
