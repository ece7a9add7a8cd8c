"""The config of the paper set that the tests here run under systemd: the demo's venues and strategies on a server.

The rule: the list of venues is the one parameter, VENUES; everything else follows from it. Two cores are enough:
nothing spins, the engines sleep as SCHED_FIFO, so that a scheduling class can be read back.
"""

from __future__ import annotations

import os
from typing import Final

import msgspec

from processes import demo_config
from processes.config_schema import ObserversConfig

VENUES: Final = tuple(demo_config.SYMBOLS)
CONFIG: Final = "/etc/corelane/corelane.toml"
FIFO_PRIORITY: Final = 20


def config() -> str:
    """The TOML text, as /etc/corelane/corelane.toml."""
    options = demo_config.DemoOptions(exchanges=VENUES, symbols=demo_config.default_symbols(VENUES))
    text = demo_config.render(options, None, demo_config.free_port(), "main")
    text = text.replace('"run"', '"/run/corelane/main"').replace('"state"', '"/var/lib/corelane/main"')
    before, _, rest = text.partition("[cores]\n")
    return before + _cores() + rest[rest.index("[[strategies]]") :] + observers()


def placed() -> dict[str, tuple[int, str, str]]:
    """{process: (core, wait, scheduling)} of [cores]."""
    cores = sorted(os.sched_getaffinity(0))
    first, second = cores[0], cores[1 % len(cores)]
    found = {"trader": (second, "doorbell", "other")}
    for venue in VENUES:
        found[f"market_server.{venue}"] = (first, "backoff", "other")
        found[f"trading_engine.{venue}"] = (second, "doorbell", "fifo")
    return found


def _cores() -> str:
    lines = [
        f'"{process}" = {{ core = {core}, wait = "{wait}", scheduling = "{scheduling}", priority = {FIFO_PRIORITY} }}'
        for process, (core, wait, scheduling) in placed().items()
    ]
    return "\n".join(["[cores]", *lines, "", ""])


def observers() -> str:
    """The table that asks for all that there are."""
    return "\n[observers]\n" + "".join(f"{one.name} = true\n" for one in msgspec.structs.fields(ObserversConfig))
