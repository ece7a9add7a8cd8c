"""Shared memory of one host: records, segments, rings, tables, journal, waiting, counters.

Knows nothing of exchanges or strategies. Every shared byte is declared in `layout.py`; `ring.pyx` argues the order.
"""
