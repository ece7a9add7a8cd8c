"""How the account is set up at the venue, and whether that is what the configuration expects.

The rules
- One-way mode is all that this system understands: without it no process starts.
- The right to trade, and single-asset mode unless configured otherwise, are always asked for; leverage and margin mode
  of a symbol where `[venues.binance.expect]` names them.
- What differs is one sentence each. The engine refuses to start on them: orders at another leverage or margin mode have
  another risk than the one that was thought through, and only a person may decide which of the two is wrong. Nothing is
  ever set from here. The position server only tells them: what is held must be seen in any case.
- A change by hand while we run (ACCOUNT_CONFIG_UPDATE) is an alert. The engine goes on: orders are open, and stopping
  would leave them alone.

Source: accountConfig, symbolConfig, Event: Account Configuration Update below
developers.binance.com/docs/derivatives/usds-margined-futures.

Who calls it: order_connection.py at the start, pms.py for changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from exchanges.adapter import AccountExpectations
from exchanges.binance.order_messages import AccountConfig, SymbolConfig

MARGIN_MODES: Final = {"CROSSED": "cross", "ISOLATED": "isolated"}
"""The venue's word -> ours."""
HEDGE_MODE: Final = (
    "binance: the account is in hedge mode (dualSidePosition true); this system trades one-way mode only, so switch "
    "the position mode at the venue and start again"
)


class Difference(NamedTuple):
    """`key`: the setting; `text`: the sentence, or empty where it is as expected."""

    key: str
    text: str


def differences(
    account: AccountConfig, rows: Iterable[SymbolConfig], symbols: Iterable[str], expected: AccountExpectations
) -> Iterator[Difference]:
    """Every setting that somebody expects something of. rows: the venue's; symbols: those that we trade."""
    yield Difference("trading", "" if account.can_trade else "the account may not trade (canTrade false)")
    yield multi_assets(account.multi_assets_margin, expected)
    known = {row.symbol: row for row in rows}
    for symbol in symbols:
        row = known.get(symbol)
        if row is not None:
            yield leverage(symbol, row.leverage, expected)
            yield _margin_mode(symbol, MARGIN_MODES.get(row.margin_type, row.margin_type), expected)
        elif symbol in expected.leverage or expected.margin_mode is not None:
            yield Difference(
                f"{symbol} settings", f"{symbol}: the venue tells neither its leverage nor its margin mode"
            )


def leverage(symbol: str, found: int, expected: AccountExpectations) -> Difference:
    wanted = expected.leverage.get(symbol, found)
    text = f"{symbol}: leverage at the venue is {found}, the configuration expects {wanted}"
    return Difference(f"{symbol} leverage", text if found != wanted else "")


def multi_assets(found: bool, expected: AccountExpectations) -> Difference:
    words = {True: "multi-assets mode", False: "single-asset mode"}
    text = f"the account is in {words[found]}, the configuration expects {words[expected.multi_assets]}"
    return Difference("multi-assets mode", text if found != expected.multi_assets else "")


def _margin_mode(symbol: str, found: str, expected: AccountExpectations) -> Difference:
    wanted = expected.margin_mode or found
    text = f"{symbol}: margin mode at the venue is {found}, the configuration expects {wanted}"
    return Difference(f"{symbol} margin mode", text if found != wanted else "")
