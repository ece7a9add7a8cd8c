from typing import Final

from shm.records import OrderRequest

LONGEST_DEADLINE_NS: Final[int]

def flaw_of_new(request: OrderRequest, now_ns: int) -> str: ...
def flaw_of_replace(request: OrderRequest, now_ns: int) -> str: ...
