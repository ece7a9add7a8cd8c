from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from exchanges.order_book cimport Level, OrderBook
from shm.counters cimport Counter, Histogram
from shm.records cimport BookRowRecord
from shm.ring cimport BroadcastWriter
from shm.table cimport TableWriter


cdef enum Stream:
    STREAM_DEPTH = 1
    STREAM_QUOTE = 2
    STREAM_TRADE = 4
    STREAM_AGGREGATED_TRADE = 8
    STREAM_TICKER = 16
    STREAM_LIQUIDATION = 32


cdef struct RememberedQuote:
    uint64_t update_id
    int64_t bid_price
    int64_t bid_quantity
    int64_t ask_price
    int64_t ask_quantity


cdef struct SeenTrades:
    uint64_t last_id            # highest so far
    uint64_t before             # bit n: last_id - n was seen


cdef class MarketOutput:
    cdef BroadcastWriter ring
    cdef TableWriter books, tickers
    cdef Histogram frame_to_publish
    cdef Counter book_updates, book_checks, book_agree, crossed, quotes, late_quotes, trades, ticker_updates
    cdef Counter repeated_trades


cdef class InstrumentFeed:
    cdef MarketOutput out
    cdef readonly str symbol
    cdef readonly uint32_t instrument_id
    cdef readonly uint64_t row
    cdef readonly OrderBook book
    cdef readonly uint32_t epoch
    cdef readonly uint8_t status                # MarketStatusCode that the books row shows
    cdef public bint live                       # the sequencer vouches for the book
    cdef readonly bint stale                    # the monitor does not
    cdef public uint64_t update_id              # the venue's, of the last applied update; kept by the sequencer
    cdef public uint32_t seen                   # Stream bits since reconnected()
    cdef public bint tapped                     # deltas applied by compiled code are told in Python too (see listeners)
    cdef readonly int64_t book_receive_time_ns  # newest depth frame
    cdef readonly int64_t delay_ns              # receive (monotonic) - exchange (UTC) time of it: only its growth means something
    cdef readonly int64_t receive_time_ns       # newest frame of any kind
    cdef int64_t decode_time_ns                 # when the numbers being published now were understood
    cdef double price_unit, quantity_unit
    cdef uint8_t venue
    cdef BookRowRecord book_row
    cdef uint64_t last_quote_id
    cdef int64_t last_quote_time_ns             # orders quotes that have no id
    cdef SeenTrades raw_trades, aggregated_trades, liquidations
    cdef RememberedQuote* remembered            # quotes that no book update has caught up with
    cdef uint64_t remembered_first, remembered_end
    cdef RememberedQuote matched                # newest quote whose id is not above the book's
    cdef bint has_matched

    cdef inline bint follows(self, uint64_t previous_update_id) noexcept nogil
    cdef int update(self, const Level* bids, Py_ssize_t bid_count, const Level* asks, Py_ssize_t ask_count,
                    uint64_t update_id, int64_t exchange_time_ns, int64_t receive_time_ns) except -1
    cdef void note_depth(self, int64_t exchange_time_ns, int64_t receive_time_ns) noexcept nogil
    cdef int quote(self, uint64_t update_id, int64_t bid_price, int64_t bid_quantity, int64_t ask_price,
                   int64_t ask_quantity, int64_t exchange_time_ns, int64_t receive_time_ns) except -1
    cdef int trade(self, uint64_t trade_id, int64_t price, int64_t quantity, uint8_t aggressor_side, bint aggregated,
                   uint32_t trade_count, int64_t exchange_time_ns, int64_t receive_time_ns) except -1
    cdef int flagged_trade(self, SeenTrades* seen, uint64_t trade_id, int64_t price, int64_t quantity,
                           uint8_t aggressor_side, bint aggregated, uint32_t trade_count, uint8_t flags,
                           int64_t exchange_time_ns, int64_t receive_time_ns) except -1
    cdef void _check(self, uint64_t update_id) noexcept nogil
    cdef int _publish_book(self, int64_t exchange_time_ns, int64_t receive_time_ns) except -1
    cdef int _write_row(self, bint valid, int64_t exchange_time_ns, int64_t receive_time_ns) except -1
    cdef void _measure(self, int64_t receive_time_ns, int64_t publish_time_ns) noexcept nogil
