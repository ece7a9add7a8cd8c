"""The faults that the Deribit simulator knows, and what each does.

Frames and connections (`exchanges/simulator/faults.py`): disconnect, silence, delay, duplicate, reorder, sequence_gap
(one change of a book channel is lost, so that `prev_change_id` does not fit), malformed_frame.

Requests, before or instead of their answer:
    rate_limit                  10028, and the connection ends where `on_rate_limit` says so
    retry                       10040
    queue_full                  10047
    timed_out                   13888
    internal_error_executed     11094 although it was executed
    internal_error_not_executed 11094
    unknown_executed            executed, and never answered
    unknown_not_executed        swallowed
    drop_reply                  executed, and the connection is cut
    delay_reply                 executed, and answered late
    rejected_signature          13004 on public/auth and on signed HTTP requests
    halted_instrument           10019
    partial_subscribe           the first channel is missing from the result and stays silent

At once, or with the next order request:
    token_expired               every token ends: private requests answer 13009 until a new login
    settlement                  for `delay_ms` books are in state "settlement" (10041), good_til_day orders end
    platform_maintenance        for `delay_ms` every request answers 11051; `platform_state` says so before and after
    connection_too_slow         every socket is closed with that reason
"""

from __future__ import annotations

from typing import Final

from exchanges.simulator.faults import STREAM_KINDS

EXECUTION_KINDS: Final = (
    "retry",
    "queue_full",
    "timed_out",
    "internal_error_executed",
    "internal_error_not_executed",
    "unknown_executed",
    "unknown_not_executed",
    "drop_reply",
    "halted_instrument",
)
"""Strike order requests only: what happens to the execution of a query is no fault of its own."""
REQUEST_KINDS: Final = (*EXECUTION_KINDS, "rate_limit", "delay_reply", "rejected_signature", "partial_subscribe")
VENUE_KINDS: Final = ("token_expired", "settlement", "platform_maintenance", "connection_too_slow")
KINDS: Final = STREAM_KINDS + REQUEST_KINDS + VENUE_KINDS

WINDOW_MS: Final = 1000
"""Length of a settlement or maintenance where the fault names none; the venue's settlement takes "several seconds"."""
