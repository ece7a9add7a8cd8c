"""A process for tests: `python process_body.py CONFIG PROCESS BODY`. Runs a body below under an AppService."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

from processes import app_service, placement
from processes.app_service import AppService
from processes.config import load_config
from processes.control import ControlError
from processes.exit_codes import ExitCode, explain
from shm.layout import ProcessState
from shm.segment import SegmentError


class Spinner:
    """A worker that counts its turns."""

    role_name = "trader"

    def __init__(self, service: AppService, on_close_s: float = 0.0, exit_code: int = 0) -> None:
        self.exit_code = exit_code
        self.service = service
        self.turns = 0
        self.on_close_s = on_close_s

    def on_start(self) -> None:
        self.service.declare(counters=["turns"])
        self.service.set_state(ProcessState.READY)

    def do_work(self) -> int:
        self.turns += 1
        self.service.counters.add("turns")
        if self.service.process == "trader" and os.environ.get("DIE_AFTER_TURNS") == str(self.turns):
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    def on_close(self) -> None:
        time.sleep(self.on_close_s)
        print("closed", flush=True)


async def serve(service: AppService) -> None:
    def refuse(_arguments: dict[str, object]) -> dict[str, object]:
        raise ControlError("not today")

    service.on_control("refuse", refuse)
    service.set_state(ProcessState.READY)
    await service.stopping.wait()
    print("closed", flush=True)


async def crash(service: AppService) -> None:
    service.set_state(ProcessState.READY)
    raise ZeroDivisionError("a bug")


async def lose_memory(service: AppService) -> None:
    raise SegmentError("segment /x is gone")


async def hang(service: AppService) -> None:
    service.set_state(ProcessState.READY)
    time.sleep(3600)


async def never_stop(service: AppService) -> None:
    service.set_state(ProcessState.READY)
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


def main() -> int:
    config_file, process, body = sys.argv[1:4]
    if not placement.die_with_parent():
        return 1
    service = AppService(process, load_config(config_file))
    app_service.STOP_S = 0.3  # type: ignore[misc]
    if body == "ask_for_restart":
        service.stop_requested = True
        return service.live(lambda: service.run_worker(Spinner(service, exit_code=ExitCode.RESTART)))
    if body in ("worker", "slow_worker"):
        return service.live(lambda: service.run_worker(Spinner(service, 30.0 if body == "slow_worker" else 0.0)))
    coroutines = (serve, crash, hang, lose_memory, never_stop)
    coroutine = next(one for one in coroutines if one.__name__ == body)
    return service.live(lambda: service.run_async(coroutine))


if __name__ == "__main__":
    try:
        code = main()
    except Exception as error:
        known = explain(error)
        if known is None:
            raise
        print(known[0], file=sys.stderr)
        code = known[1]
    sys.exit(int(code))
