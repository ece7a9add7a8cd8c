"""What a venue's answer means for the request that got it: the same three outcomes everywhere.

The rule: which answer means which stands in each venue's error_codes.py, and only what its documentation says counts
as refused.

Who calls it: error_codes.py and order_codec.py of every venue.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from shm.layout import Reason


class Outcome(Enum):
    """What happened to the request."""

    REFUSED = "refused"
    """It had no effect; the same request would be refused again."""
    FAILED = "failed"
    """It had no effect, for a reason that may pass: trying again later is right."""
    UNKNOWN = "unknown"
    """It may have been carried out."""


class Verdict(NamedTuple):
    outcome: Outcome
    reason: Reason
