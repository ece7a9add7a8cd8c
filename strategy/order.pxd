cdef class Working:
    cdef public object buy, sell
    cdef public long orders

cdef class Fill:
    cdef readonly Order order
    cdef readonly bytes trade_id
    cdef public int parts, liquidity
    cdef public object price_mantissa, quantity_mantissa, fee_mantissa
    cdef public object exchange_time_ns
    cdef public str fee_currency

cdef class Order:
    # what it is
    cdef readonly object client_order_id, instrument
    cdef readonly int strategy_id, side
    cdef public int order_type, time_in_force, exec_flags
    # its terms, those of a replace in flight, and what was traded; Python integers, so that nothing overflows
    cdef public object price_mantissa, quantity_mantissa
    cdef public object pending_price_mantissa, pending_quantity_mantissa
    cdef public object cumulative_mantissa, filled_mantissa, filled_value
    cdef readonly dict fills
    # where it stands
    cdef public int state, closed_state
    cdef public bint accepted, cancel_pending, closed, external, adopted, doubted, recovered
    # what of it stands in the running totals of MiniOMS
    cdef public object counted_leaves
    cdef public bint counted_open
    # what the venue said, and when
    cdef public bytes exchange_order_id
    cdef public str text
    cdef public int reason, error_code
    cdef public long long create_time_ns, state_time_ns, last_query_time_ns
    cdef public object tag
