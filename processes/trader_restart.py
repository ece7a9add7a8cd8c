"""Following a planned restart of the trader from outside: until its strategies run again, and how long that took.

The rule: what is told is what the new trader measured itself; this side only waits for it. Called by `corelane ctl
trader restart` and by the demo.
"""

from __future__ import annotations

import time
from typing import Any, Final

from processes.control import ControlError, ask

PATIENCE_S: Final = 30.0
LOOK_S: Final = 0.05


def look(run_dir: str, pid: int) -> dict[str, Any] | None:
    """What the trader that came after `pid` measured; None while the restart goes on."""
    try:
        status = ask(run_dir, "trader", "status", timeout_s=1.0)
    except ControlError:
        return None  # between two traders nobody answers
    found = status.get("restart") if status.get("pid") != pid else None
    return found if found and found["over"] else None


def follow(run_dir: str, pid: int, patience_s: float = PATIENCE_S) -> str:
    """Wait for the end of the restart; one sentence. Raises ControlError where it does not come in time."""
    deadline = time.monotonic() + patience_s
    while (found := look(run_dir, pid)) is None:
        if time.monotonic() > deadline:
            raise ControlError(
                f"the trader does not quote again after {patience_s:g} s: "
                "see its status, and whether anybody starts it again"
            )
        time.sleep(LOOK_S)
    return in_words(found)


def in_words(found: dict[str, Any]) -> str:
    """What the new trader measured."""
    without_ms = found["without_quotes_ms"]
    without = "no order was open" if without_ms is None else f"{without_ms / 1e3:.2f} s without quotes"
    return (
        f"{found['kept_orders']} of {found['open_orders_before']} orders were kept, {without}, "
        f"strategies stood still for {found['stood_still_ms'] / 1e3:.2f} s"
    )
