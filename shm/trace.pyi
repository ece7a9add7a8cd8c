from shm.counters import Counters
from shm.records import OrderEvent

class Trace:
    def __init__(self, venue: str, counters: Counters) -> None: ...
    def begin(
        self,
        request_id: int,
        receive_time_ns: int,
        decode_time_ns: int,
        publish_time_ns: int,
        poll_time_ns: int,
        create_time_ns: int,
    ) -> None: ...
    def applied(self) -> None: ...
    def moved(self) -> None: ...
    def end(self, record: OrderEvent, poll_time_ns: int, /) -> None: ...
