from libc.stdint cimport int64_t, uint64_t

from shm.record cimport Record


cdef class InFlight:
    cdef public int request_type
    cdef public uint64_t sequence, request_id, order_id, cause_sequence
    cdef public unsigned int epoch, strategy_id
    cdef public int64_t price, quantity
    cdef public int64_t cause_receive_time_ns, publish_time_ns, poll_time_ns, sign_time_ns, send_time_ns
    cdef public bint answered, unknown

    cpdef stamp(self, Record event)


cdef class Order:
    cdef public uint64_t client_order_id
    cdef public unsigned int instrument_id, strategy_id, epoch
    cdef public bytes exchange_order_id
    cdef public list earlier_exchange_ids       # of a venue without amend; None mostly
    cdef public int account, side, order_type, time_in_force, exec_flags
    cdef public int64_t price, quantity, cumulative_quantity, venue_cumulative, untold_quantity
    cdef public object state                    # OrderState
    cdef public bint external, accepted
    cdef public object ended_by                 # OrderState by which the venue says it ended; closes when the fills add up
    cdef public int64_t final_cumulative        # ... to this
    cdef public int ending_reason
    cdef public int64_t exchange_time_ns, terms_time_ns, missing_since_ns, closed_time_ns
    cdef public InFlight new
    cdef public list requests                   # cancels and replaces without their final answer, oldest first
    cdef public int replaces
    cdef public int64_t counted
    cdef public int counted_side

    cdef bint is_closed(self) except -1
    cdef int64_t remaining(self) except -1
    cpdef describe(self, Record event)


cdef class OpenTotals:
    cdef public int64_t buy, sell
    cdef public int orders


cdef class OrderStore:
    cdef dict _orders, _by_exchange_id, _open, _totals
    cdef object _closed
    cdef int _open_count
    cdef object _closed_kept, _closed_kept_ns

    cpdef add(self, Order order)
    cpdef Order get(self, client_order_id)
    cpdef changed(self, Order order)
    cpdef OpenTotals totals(self, instrument_id)
