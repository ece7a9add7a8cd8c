# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""New orders, edits and cancels as the JSON-RPC text that Deribit's order socket sends, without anything in between.

The rule of exchanges/request_encoder.pyx: as order_codec.py and order_socket.py would word it, or not at all. Left to
them: good_til_day (its time is checked), cancels by label, queries, and whatever they refuse.

Who calls it: exchanges/socket_path.pyx; oms.py makes one.
"""

from libc.stdint cimport int64_t, uint64_t

from exchanges.request_encoder cimport RequestEncoder, Terms, is_plain
from exchanges.text_writer cimport cl_put, cl_put_bytes, cl_put_decimal, cl_put_number
from shm.records cimport OrderRequestRecord

cdef extern from "<string.h>" nogil:
    size_t strnlen(const char* text, size_t most)

from shm.layout import ExecFlag, OrderType, RequestType, Side, TimeInForce

cdef int _NEW = RequestType.NEW, _CANCEL = RequestType.CANCEL, _REPLACE = RequestType.REPLACE
cdef int _BUY = Side.BUY, _SELL = Side.SELL, _LIMIT = OrderType.LIMIT, _MARKET = OrderType.MARKET
cdef int _UNSAID = TimeInForce.NONE, _GTC = TimeInForce.GTC, _IOC = TimeInForce.IOC, _FOK = TimeInForce.FOK
cdef int _POST_ONLY = ExecFlag.POST_ONLY, _REDUCE_ONLY = ExecFlag.REDUCE_ONLY
cdef int _SELF_TRADE = ExecFlag.EXPIRE_TAKER | ExecFlag.EXPIRE_MAKER
cdef int64_t _NS_PER_MS = 1_000_000
cdef const char* _POST_ONLY_TEXT = b',"post_only":true,"reject_post_only":true'


cdef class FastEncoder(RequestEncoder):
    cdef object _exchange_ids

    def __init__(self, instruments, clock, receive_window_ms, exchange_ids):
        """exchange_ids: the codec's, client order id -> the venue's."""
        RequestEncoder.__init__(self, instruments, clock, receive_window_ms)
        self._exchange_ids = exchange_ids

    cdef bytes write(self, OrderRequestRecord* asked, uint64_t identity, int64_t now_ns, bint session):
        cdef char* p
        if asked.request_type == _NEW:
            p = self._new(asked, identity, now_ns)
        elif asked.request_type == _REPLACE:
            p = self._edit(asked, identity, now_ns)
        elif asked.request_type == _CANCEL:
            p = self._cancel(asked, identity)
        else:
            return None
        return None if p == NULL else self.text[:p - self.text]

    cdef char* _new(self, OrderRequestRecord* asked, uint64_t identity, int64_t now_ns) except? NULL:
        cdef Terms terms = self.terms(asked.instrument_id)
        cdef bint post_only = asked.exec_flags & _POST_ONLY
        cdef const char* method = b"private/buy"
        cdef char* p
        if terms is None or asked.price < 0 or asked.quantity < 0 or asked.exec_flags & _SELF_TRADE:
            return NULL
        if asked.side == _SELL:
            method = b"private/sell"
        elif asked.side != _BUY:
            return NULL
        if asked.order_type != _LIMIT and (asked.order_type != _MARKET or post_only or asked.time_in_force > _IOC):
            return NULL
        p = self._head(identity, method)
        p = cl_put(p, b'{"instrument_name":"')
        p = cl_put_bytes(p, <const char*> terms.symbol, len(terms.symbol))
        p = cl_put(p, b'","amount":')
        p = cl_put_decimal(p, asked.quantity, terms.quantity_scale)
        p = cl_put(p, b',"label":"')
        p = cl_put_number(p, asked.client_order_id)
        if asked.order_type == _MARKET:
            p = cl_put(p, b'","type":"market","post_only":false')
        else:
            p = cl_put(p, b'","type":"limit","price":')
            p = cl_put_decimal(p, asked.price, terms.price_scale)
            if asked.time_in_force == _GTC or asked.time_in_force == _UNSAID:
                p = cl_put(p, b',"time_in_force":"good_til_cancelled"')
            elif post_only:
                return NULL
            elif asked.time_in_force == _IOC:
                p = cl_put(p, b',"time_in_force":"immediate_or_cancel"')
            elif asked.time_in_force == _FOK:
                p = cl_put(p, b',"time_in_force":"fill_or_kill"')
            else:
                return NULL
            if post_only:
                p = cl_put(p, _POST_ONLY_TEXT)
            else:
                p = cl_put(p, b',"post_only":false')
        if asked.exec_flags & _REDUCE_ONLY:
            p = cl_put(p, b',"reduce_only":true')
        return self._until(p, asked, now_ns)

    cdef char* _edit(self, OrderRequestRecord* asked, uint64_t identity, int64_t now_ns) except? NULL:
        cdef Terms terms = self.terms(asked.instrument_id)
        cdef bytes exchange_id = self._exchange_ids.get(asked.client_order_id)
        cdef char* p
        if terms is None or exchange_id is None or asked.price < 0 or asked.quantity < 0:
            return NULL
        if len(exchange_id) > <Py_ssize_t> sizeof(asked.exchange_order_id) or not is_plain(exchange_id, len(exchange_id)):
            return NULL
        p = self._head(identity, b"private/edit")
        p = cl_put(p, b'{"order_id":"')
        p = cl_put_bytes(p, <const char*> exchange_id, len(exchange_id))
        p = cl_put(p, b'","amount":')
        p = cl_put_decimal(p, asked.quantity, terms.quantity_scale)
        p = cl_put(p, b',"price":')
        p = cl_put_decimal(p, asked.price, terms.price_scale)
        if asked.exec_flags & _POST_ONLY:
            p = cl_put(p, _POST_ONLY_TEXT)
        else:
            p = cl_put(p, b',"post_only":false')
        if asked.exec_flags & _REDUCE_ONLY:
            p = cl_put(p, b',"reduce_only":true')
        return self._until(p, asked, now_ns)

    cdef char* _cancel(self, OrderRequestRecord* asked, uint64_t identity) except? NULL:
        cdef const char* named = asked.exchange_order_id
        cdef Py_ssize_t size = strnlen(named, sizeof(asked.exchange_order_id))
        cdef bytes exchange_id
        cdef char* p
        if size == 0:
            exchange_id = self._exchange_ids.get(asked.client_order_id)
            if exchange_id is None or len(exchange_id) > <Py_ssize_t> sizeof(asked.exchange_order_id):
                return NULL
            named, size = exchange_id, len(exchange_id)
        if not is_plain(named, size):
            return NULL
        p = self._head(identity, b"private/cancel")
        p = cl_put(p, b'{"order_id":"')
        p = cl_put_bytes(p, named, size)
        return cl_put(p, b'"}}')

    cdef char* _head(self, uint64_t identity, const char* method) noexcept:
        cdef char* p = cl_put(self.text, b'{"jsonrpc":"2.0","id":')
        p = cl_put_number(p, identity)
        p = cl_put(p, b',"method":"')
        p = cl_put(p, method)
        return cl_put(p, b'","params":')

    cdef char* _until(self, char* p, OrderRequestRecord* asked, int64_t now_ns) except? NULL:
        """DeribitOMS._valid_until_ms, and the end."""
        cdef int64_t until_ns = now_ns + self._clock.offset_ns + self.left_ns(asked, now_ns)
        p = cl_put(p, b',"valid_until":')
        p = cl_put_number(p, until_ns // _NS_PER_MS + 1)
        return cl_put(p, b"}}")
