from exchanges.book_step import Step
from exchanges.market_events import BestQuote, QuoteChange

class QuoteSequencer:
    bid_price: int
    bid_quantity: int
    ask_price: int
    ask_quantity: int
    unchecked: int
    known: bool
    def __init__(self, check_gaps: bool = True) -> None: ...
    def reset(self) -> None: ...
    def on_change(self, event: QuoteChange) -> Step: ...
    def quote(self, symbol: str, exchange_time_ns: int) -> BestQuote: ...
