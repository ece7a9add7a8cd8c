# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""New orders, amends and cancels as the text that Binance's WebSocket API takes, without anything in between.

The rule of exchanges/request_encoder.pyx: as order_codec.py and order_socket.py would word it, or not at all. Left to
them: GTD (its time is checked), queries, and whatever they refuse.

Where no session stands the request is signed: over all parameters sorted by name, the key among them, as auth.py does
it.

Who calls it: exchanges/socket_path.pyx; oms.py makes one.
"""

from libc.stdint cimport int64_t, uint64_t

from exchanges.request_encoder cimport RequestEncoder, Terms, is_plain
from exchanges.text_writer cimport cl_put, cl_put_bytes, cl_put_decimal, cl_put_number
from shm.records cimport OrderRequestRecord

from exchanges.binance.auth import KEY_HEADER
from shm.layout import ExecFlag, OrderType, RequestType, Side, TimeInForce

cdef int _NEW = RequestType.NEW, _CANCEL = RequestType.CANCEL, _REPLACE = RequestType.REPLACE
cdef int _BUY = Side.BUY, _SELL = Side.SELL, _LIMIT = OrderType.LIMIT, _MARKET = OrderType.MARKET
cdef int _UNSAID = TimeInForce.NONE, _GTC = TimeInForce.GTC, _IOC = TimeInForce.IOC, _FOK = TimeInForce.FOK
cdef int _POST_ONLY = ExecFlag.POST_ONLY, _REDUCE_ONLY = ExecFlag.REDUCE_ONLY
cdef int _EXPIRE_TAKER = ExecFlag.EXPIRE_TAKER, _EXPIRE_MAKER = ExecFlag.EXPIRE_MAKER
cdef int64_t _NS_PER_MS = 1_000_000
cdef Py_ssize_t _LONGEST_KEY = 256


cdef class FastEncoder(RequestEncoder):
    cdef object _sign
    cdef bytes _api_key
    cdef bint _words                    # whether the key is one that stands in JSON as it is
    cdef char signed[1024]
    cdef int64_t window_ms, time_ms

    def __init__(self, instruments, clock, receive_window_ms, signer):
        """signer: RequestSigner."""
        RequestEncoder.__init__(self, instruments, clock, receive_window_ms)
        self._sign = signer.sign
        self._api_key = signer.headers[KEY_HEADER].encode()
        self._words = is_plain(self._api_key, len(self._api_key)) and len(self._api_key) <= _LONGEST_KEY

    cdef bytes write(self, OrderRequestRecord* asked, uint64_t identity, int64_t now_ns, bint session):
        cdef Terms terms = self.terms(asked.instrument_id)
        cdef char* p
        if terms is None or not self._words or asked.price < 0 or asked.quantity < 0:
            return None
        self.window_ms = self.left_ns(asked, now_ns) // _NS_PER_MS + 1
        if self.window_ms > self._widest_ns // _NS_PER_MS:
            self.window_ms = self._widest_ns // _NS_PER_MS
        self.time_ms = (now_ns + self._clock.offset_ns) // _NS_PER_MS
        if asked.request_type == _NEW:
            p = self._new(asked, terms, identity, session)
        elif asked.request_type == _REPLACE:
            p = self._modify(asked, terms, identity, session)
        elif asked.request_type == _CANCEL:
            p = self._cancel(asked, terms, identity, session)
        else:
            return None
        return None if p == NULL else self.text[:p - self.text]

    cdef char* _new(self, OrderRequestRecord* asked, Terms terms, uint64_t identity, bint session) except? NULL:
        cdef const char* side = side_text(asked.side)
        cdef const char* time_in_force = b""
        cdef const char* answer = b"RESULT"
        cdef const char* kind = b"LIMIT"
        cdef const char* prevention = b""
        cdef bint limit = asked.order_type == _LIMIT, post_only = asked.exec_flags & _POST_ONLY
        cdef char* p
        if side == NULL or not limit and (asked.order_type != _MARKET or post_only):
            return NULL
        if limit:
            if asked.time_in_force == _GTC or asked.time_in_force == _UNSAID:
                answer = b"ACK"
                time_in_force = b"GTC"
                if post_only:
                    time_in_force = b"GTX"
            elif post_only:
                return NULL
            elif asked.time_in_force == _IOC:
                time_in_force = b"IOC"
            elif asked.time_in_force == _FOK:
                time_in_force = b"FOK"
            else:
                return NULL
        elif asked.time_in_force > _IOC:
            return NULL
        if asked.exec_flags & _EXPIRE_TAKER and asked.exec_flags & _EXPIRE_MAKER:
            prevention = b"EXPIRE_BOTH"
        elif asked.exec_flags & _EXPIRE_TAKER:
            prevention = b"EXPIRE_TAKER"
        elif asked.exec_flags & _EXPIRE_MAKER:
            prevention = b"EXPIRE_MAKER"

        p = self._head(identity, b"order.place", terms)
        p = put_member(p, b'","side":"', side)
        p = cl_put(p, b'","quantity":"')
        p = cl_put_decimal(p, asked.quantity, terms.quantity_scale)
        p = cl_put(p, b'","newClientOrderId":"')
        p = cl_put_number(p, asked.client_order_id)
        if limit:
            p = put_member(p, b'","type":"LIMIT","timeInForce":"', time_in_force)
            p = cl_put(p, b'","price":"')
            p = cl_put_decimal(p, asked.price, terms.price_scale)
        else:
            kind = b"MARKET"
            p = cl_put(p, b'","type":"MARKET')
        p = put_member(p, b'","newOrderRespType":"', answer)
        if asked.exec_flags & _REDUCE_ONLY:
            p = cl_put(p, b'","reduceOnly":"true')
        if prevention[0]:
            p = put_member(p, b'","selfTradePreventionMode":"', prevention)
        if session:
            return self._end(p)

        cdef char* s = self._key()
        s = cl_put(s, b"&newClientOrderId=")
        s = cl_put_number(s, asked.client_order_id)
        s = put_member(s, b"&newOrderRespType=", answer)
        if limit:
            s = cl_put(s, b"&price=")
            s = cl_put_decimal(s, asked.price, terms.price_scale)
        s = cl_put(s, b"&quantity=")
        s = cl_put_decimal(s, asked.quantity, terms.quantity_scale)
        s = self._window(s)
        if asked.exec_flags & _REDUCE_ONLY:
            s = cl_put(s, b"&reduceOnly=true")
        if prevention[0]:
            s = put_member(s, b"&selfTradePreventionMode=", prevention)
        s = put_member(s, b"&side=", side)
        s = self._symbol(s, terms)
        if limit:
            s = put_member(s, b"&timeInForce=", time_in_force)
        s = self._timestamp(s)
        s = cl_put(s, b"&type=")
        s = cl_put(s, kind)
        return self._signed_end(p, s)

    cdef char* _modify(self, OrderRequestRecord* asked, Terms terms, uint64_t identity, bint session) except? NULL:
        cdef const char* side = side_text(asked.side)
        cdef char* p
        cdef char* s
        if side == NULL:
            return NULL
        p = self._head(identity, b"order.modify", terms)
        p = put_member(p, b'","side":"', side)
        p = cl_put(p, b'","origClientOrderId":"')
        p = cl_put_number(p, asked.client_order_id)
        p = cl_put(p, b'","quantity":"')
        p = cl_put_decimal(p, asked.quantity, terms.quantity_scale)
        p = cl_put(p, b'","price":"')
        p = cl_put_decimal(p, asked.price, terms.price_scale)
        if session:
            return self._end(p)
        s = self._key()
        s = cl_put(s, b"&origClientOrderId=")
        s = cl_put_number(s, asked.client_order_id)
        s = cl_put(s, b"&price=")
        s = cl_put_decimal(s, asked.price, terms.price_scale)
        s = cl_put(s, b"&quantity=")
        s = cl_put_decimal(s, asked.quantity, terms.quantity_scale)
        s = self._window(s)
        s = put_member(s, b"&side=", side)
        s = self._symbol(s, terms)
        return self._signed_end(p, self._timestamp(s))

    cdef char* _cancel(self, OrderRequestRecord* asked, Terms terms, uint64_t identity, bint session) except? NULL:
        cdef char* p = self._head(identity, b"order.cancel", terms)
        cdef char* s
        p = cl_put(p, b'","origClientOrderId":"')
        p = cl_put_number(p, asked.client_order_id)
        if session:
            return self._end(p)
        s = self._key()
        s = cl_put(s, b"&origClientOrderId=")
        s = cl_put_number(s, asked.client_order_id)
        s = self._window(s)
        s = self._symbol(s, terms)
        return self._signed_end(p, self._timestamp(s))

    # --- the text ---------------------------------------------------------------------------------------------------
    cdef char* _head(self, uint64_t identity, const char* method, Terms terms) noexcept:
        cdef char* p = cl_put(self.text, b'{"id":')
        p = cl_put_number(p, identity)
        p = cl_put(p, b',"method":"')
        p = cl_put(p, method)
        p = cl_put(p, b'","params":{"symbol":"')
        return cl_put_bytes(p, <const char*> terms.symbol, len(terms.symbol))

    cdef char* _end(self, char* p) noexcept:
        p = cl_put(p, b'","recvWindow":')
        p = cl_put_number(p, self.window_ms)
        p = cl_put(p, b',"timestamp":')
        p = cl_put_number(p, self.time_ms)
        return cl_put(p, b"}}")

    cdef char* _signed_end(self, char* p, char* s) except? NULL:
        cdef bytes signature = (<str> self._sign(self.signed[:s - self.signed])).encode()
        p = self._end(p) - 2
        p = cl_put(p, b',"apiKey":"')
        p = cl_put_bytes(p, <const char*> self._api_key, len(self._api_key))
        p = cl_put(p, b'","signature":"')
        p = cl_put_bytes(p, <const char*> signature, len(signature))
        return cl_put(p, b'"}}')

    # --- what is signed ---------------------------------------------------------------------------------------------
    cdef char* _key(self) noexcept:
        cdef char* s = cl_put(self.signed, b"apiKey=")
        return cl_put_bytes(s, <const char*> self._api_key, len(self._api_key))

    cdef char* _window(self, char* s) noexcept:
        s = cl_put(s, b"&recvWindow=")
        return cl_put_number(s, self.window_ms)

    cdef char* _symbol(self, char* s, Terms terms) noexcept:
        s = cl_put(s, b"&symbol=")
        return cl_put_bytes(s, <const char*> terms.symbol, len(terms.symbol))

    cdef char* _timestamp(self, char* s) noexcept:
        s = cl_put(s, b"&timestamp=")
        return cl_put_number(s, self.time_ms)


cdef const char* side_text(int side) noexcept:
    if side == _BUY:
        return b"BUY"
    if side == _SELL:
        return b"SELL"
    return NULL


cdef char* put_member(char* p, const char* name, const char* value) noexcept nogil:
    p = cl_put(p, name)
    return cl_put(p, value)
