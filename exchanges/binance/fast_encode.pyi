from exchanges.binance.auth import RequestSigner
from exchanges.order_instruments import OrderInstruments
from exchanges.request_encoder import RequestEncoder
from exchanges.venue_clock import VenueClock

class FastEncoder(RequestEncoder):
    def __init__(
        self, instruments: OrderInstruments, clock: VenueClock, receive_window_ms: int, signer: RequestSigner
    ) -> None: ...
