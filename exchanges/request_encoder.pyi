from exchanges.order_instruments import OrderInstruments
from exchanges.venue_clock import VenueClock
from shm.records import OrderRequest

class RequestEncoder:
    def __init__(self, instruments: OrderInstruments, clock: VenueClock, receive_window_ms: int) -> None: ...
    def encode(self, request: OrderRequest, identity: int, now_ns: int, session: bool) -> bytes | None:
        """The finished text of `request` under that id; None: the general encoder has to word or refuse it."""
