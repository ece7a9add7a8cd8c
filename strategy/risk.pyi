from collections.abc import Iterable
from typing import Final

from strategy.instrument import Instrument
from strategy.limits import Limits
from strategy.mini_pms import Position

PASS: Final = 0

class RateLimit:
    def __init__(self, per_second: float) -> None: ...
    def take(self, now_ns: int) -> bool: ...

class StrategyRisk:
    blocked: str
    def __init__(self, limits: Limits | None, instruments: Iterable[Instrument]) -> None: ...
    @property
    def limits(self) -> Limits | None: ...
    @property
    def text(self) -> str: ...
    @property
    def refusals(self) -> int: ...
    def set_limits(self, limits: Limits) -> None: ...
    def reduces(self, position: Position, side: int, quantity: int, already: int, reduce_only: bool) -> bool: ...
    def check(
        self,
        position: Position,
        side: int,
        price: int,
        quantity: int,
        replaced: int,
        notional: int,
        mid: float,
        open_orders: int,
        now_ns: int,
        reduce_only: bool = False,
    ) -> int: ...
