from typing import Protocol

from typing_extensions import Buffer

from exchanges.frame_listener import FrameListener
from exchanges.frame_scanner import Scanner
from exchanges.instrument_feed import InstrumentFeed
from exchanges.market_events import BestQuote, BookDelta, PublicTrade
from shm.counters import Counters

COUNTERS: tuple[str, ...]

class FrameScanner(Scanner):
    def add(self, symbol: str, price_scale: int, quantity_scale: int, feed: InstrumentFeed | None = None) -> None: ...
    def decode(self, frame: Buffer) -> BookDelta | BestQuote | PublicTrade | None: ...

class RareFrames(Protocol):
    def on_surprise(self, payload: bytes, receive_time_ns: int) -> None: ...
    def on_delta(self, feed: InstrumentFeed, delta: BookDelta, receive_time_ns: int) -> None: ...
    def on_crossed(self, feed: InstrumentFeed) -> None: ...
    def on_applied(self, feed: InstrumentFeed, delta: BookDelta) -> None: ...

class MarketListener(FrameListener):
    def __init__(self, scanner: FrameScanner, handler: RareFrames, counters: Counters) -> None: ...
