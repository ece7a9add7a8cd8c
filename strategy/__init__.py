"""The trader's side: strategies, the order truth they act on, their positions, their limits.

It meets the exchanges only in the records of `shm/layout.py`; it never imports them.
"""
