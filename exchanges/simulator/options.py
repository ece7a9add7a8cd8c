"""What every simulator's options must be, said in one sentence where they are not."""

from __future__ import annotations

import ipaddress
from decimal import Decimal
from typing import Any

from exchanges.simulator.errors import SimulatorError


def check_options(options: Any, decimal_texts: tuple[str, ...]) -> None:
    """Host on loopback, a port, a speed above 0, and finite decimals in the named fields; SimulatorError otherwise."""
    try:
        loopback = options.host == "localhost" or ipaddress.ip_address(options.host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise SimulatorError(f"simulator host {options.host!r}: the simulator listens on loopback only")
    if not 0 <= options.port < 65536:
        raise SimulatorError(f"simulator port {options.port}: expected 0 (pick one) to 65535")
    if not options.speed > 0:
        raise SimulatorError(f"simulator speed {options.speed}: expected a number above 0")
    for name in decimal_texts:
        try:
            finite = Decimal(getattr(options, name)).is_finite()
        except ArithmeticError:
            finite = False
        if not finite:
            raise SimulatorError(f"simulator {name} {getattr(options, name)!r}: expected a decimal number as text")
