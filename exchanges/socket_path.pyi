from collections.abc import Callable
from typing import Any

from exchanges.request_encoder import RequestEncoder
from exchanges.request_failure import OutcomeUnknown
from exchanges.request_socket import RequestSocket
from exchanges.venue_oms import VenueOMS
from shm.layout import Reason
from shm.records import OrderRequest

class OnSocket:
    """Who waits on the order socket for the reply to one request."""

    def replied(self, reply: Any, receive_time_ns: int) -> None: ...
    def lost(self, failure: OutcomeUnknown) -> None: ...
    def replied_late(self, reply: Any, receive_time_ns: int) -> None: ...

class SocketPath:
    def __init__(
        self,
        oms: VenueOMS[Any, Any, Any],
        socket: RequestSocket[Any],
        guard: Callable[[OrderRequest], Reason],
        encoder: RequestEncoder | None,
    ) -> None: ...
    def quick(self, request: OrderRequest) -> bool:
        """Word, check and send in one go; what comes of it is told. False: nothing was done."""

    def hand_over(self, request: OrderRequest, identity: int, text: bytes) -> None:
        """The last check of a request that the venue's own code worded, and its bytes to the socket."""
