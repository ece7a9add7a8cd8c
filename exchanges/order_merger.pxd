from libc.stdint cimport int64_t

from exchanges.order_store cimport InFlight, OrderStore
from shm.counters cimport Histogram
from shm.record cimport Record
from shm.record_tail cimport RecordTail


cdef class OrderMerger:
    cdef int _instance
    cdef OrderStore _store
    cdef object _ledger, _gate, _events, _clock, _send_cancel, _count, _log
    cdef Histogram _waited          # None: a test's own histogram
    cdef object _poll_to_send, _send_to_reply, _event_publish
    cdef dict _in_flight, _held, _missing, _taken
    cdef set _unsent
    cdef Record _event
    cdef public object settler
    cdef readonly RecordTail recent_fills
    cdef readonly object lost_refusals

    cpdef InFlight register(self, Record request, int64_t poll_time_ns)
    cpdef bint awaits(self, Record request) except -1
    cpdef leaving(self, Record request, int64_t now)
