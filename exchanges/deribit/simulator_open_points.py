"""What the venue's documentation leaves open, and what the simulator does there: one option each.

A client must live with every value; its tests turn them. The defaults are what working clients see, or the choice that
asks most of a client.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class OpenPoints:
    """Every field is an undocumented point."""

    heartbeat_grace_s: float | None = None
    """Time for an answer to test_request; None: one interval."""
    too_slow_close: Literal["close", "abort"] = "close"
    """`connection_too_slow`: with code 1008 and that reason, or as a lost line."""
    rate_limit_close_code: int = 1008
    snapshot_on_resubscribe: bool = False
    """Whether a channel that is on sends its snapshot again when it is subscribed again."""
    portfolio_on_subscribe: bool = True
    """Whether user.portfolio begins with what it is now."""
    private_channels_outlive_token: bool = True
    closed_order_code: Literal[10004, 10010, 11008, 11044] = 11044
    """Of a cancel or an edit that comes too late."""
    wrong_amount_code: Literal[10021, 10027, -32602] = 10021
    """Of an amount that is no multiple of the contract size."""
    self_trade: Literal["cancel_maker", "reject_taker"] = "cancel_maker"
    """"reject_taker" answers 10003."""
    unauthenticated_code: Literal[10000, 13009] = 13009
    """Of a private request before a login."""
    agg2_ms: int = 1000
    order_seen_ms: int = 30 * 60 * 1000
    """How long get_order_state knows an order that has ended; later it is 10004."""
    edit_keeps_flags: bool = True
    """Whether an edit that leaves post_only and reduce_only out keeps them; else they are false from then on."""
    strict_tokens: bool = False
    """Whether private requests must carry `access_token` although the socket has logged in."""
    id_required: bool = True
    """Whether a request without id is refused; else it is answered without one."""
