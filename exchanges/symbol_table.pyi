from exchanges.instrument_feed import InstrumentFeed

class SymbolTable:
    def add(
        self,
        symbol: str,
        price_scale: int,
        quantity_scale: int,
        feed: InstrumentFeed | None = None,
        stream: str | None = None,
    ) -> None: ...
    def __len__(self) -> int: ...
    def __contains__(self, symbol: str) -> bool: ...
