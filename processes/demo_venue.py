"""The venue's side of the demo's comparison, asked from the simulator's admin endpoint over loopback HTTP.

The rule: nothing of ours is used to make it; amounts stay the decimal texts of the venue's own ledger until they are
compared. Called by `demo.py` after trading has stopped.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from processes.demo_books import Money
from processes.demo_owners import VenueOrder
from processes.demo_report import VenueTruth
from processes.exit_codes import ExitCode, Failure

TIMEOUT_S = 5.0
STATES = {"EXPIRED_IN_MATCH": "EXPIRED", "NEW": "OPEN"}
"""Words of the venue for what our records call otherwise."""


def freeze(url: str) -> None:
    """Stop the venue's market flow; what it says afterwards is final. Raises Failure."""
    _request(f"{url}/admin/flow", {"action": "freeze"})


def all_ended(url: str) -> bool:
    """Every market flow of the venue has played to its end: nothing more will happen there. Raises Failure."""
    flows = _request(f"{url}/admin/health").get("flows", [])
    return bool(flows) and all(flow["state"] == "ended" for flow in flows)


def faults(url: str) -> dict[str, dict[str, int]]:
    """What was injected, by kind. Raises Failure."""
    found = _request(f"{url}/admin/truth").get("faults", {})
    return found if isinstance(found, dict) else {}


def arm(url: str, fault: Mapping[str, Any]) -> None:
    """Let one fault strike. Raises Failure."""
    _request(f"{url}/admin/fault", dict(fault))


def disarm(url: str) -> None:
    """Faults that have not struck never will. Raises Failure."""
    _request(f"{url}/admin/fault", method="DELETE")


def truth(url: str, symbols: tuple[str, ...]) -> VenueTruth:
    """The venue's books now, of its one account. Raises Failure."""
    answer = _request(f"{url}/admin/truth")
    accounts = answer.get("accounts", {})
    if len(accounts) != 1:
        raise Failure(f"{url}/admin/truth: found {len(accounts)} accounts, expected one", ExitCode.VENUE)
    return parse(next(iter(accounts.values())), symbols)


def parse(account: dict[str, Any], symbols: tuple[str, ...]) -> VenueTruth:
    """One account's truth as JSON -> what is compared. Money in several currencies is added up as numbers, on both
    sides alike."""
    positions, orders = account["positions"], whole_orders(account["orders"])
    purses = list(account["currencies"].values()) if "currencies" in account else [account]
    return VenueTruth(
        money=Money(
            position={
                symbol: Decimal(positions[symbol]["quantity"]) if symbol in positions else Decimal(0)
                for symbol in symbols
            },
            fees=sum((Decimal(purse["fees"]) for purse in purses), Decimal(0)),
            realized_pnl=sum((Decimal(purse["realized_pnl"]) for purse in purses), Decimal(0)),
            unrealized_pnl=sum((Decimal(purse["unrealized_pnl"]) for purse in purses), Decimal(0)),
        ),
        orders={
            (str(order["order_id"]), STATES.get(order["state"], order["state"]), Decimal(order["filled"]))
            for order in orders
        },
        trades={(trade["symbol"], _trade_number(trade)) for trade in account["trades"]},
        open_orders=sum(1 for order in account["orders"] if order["open"]),
        marks={symbol: Decimal(position["mark"]) for symbol, position in positions.items()},
        ledger=[
            VenueOrder(
                _order_number(str(order["order_id"])),
                str(order.get("label", order["client_order_id"])),
                int(order["create_time"]),
            )
            for order in account["orders"]
        ],
    )


def whole_orders(orders: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """GRVT has no amend: an order that was replaced is several there, whose client order ids differ in bits 24 to 31.
    They stand as one under the id without those bits, with the last one's id and state and what all traded, open while
    one of them is; elsewhere each stands for itself. tests/chaos compares the same way."""
    whole: dict[str, dict[str, Any]] = {}
    for order in orders:
        key, client_order_id = str(order["order_id"]), order["client_order_id"]
        if key.startswith("0x"):
            key = client_order_id = str(int(client_order_id) & ~(0xFF << 24))
        before = whole.pop(key, None)
        filled = Decimal(order["filled"]) + (Decimal(before["filled"]) if before else 0)
        is_open = bool(order["open"] or (before and before["open"]))
        whole[key] = {**order, "client_order_id": client_order_id, "filled": filled, "open": is_open}
    return list(whole.values())


def _trade_number(trade: Mapping[str, Any]) -> str:
    """The number of a trade: Deribit's sequence, and GRVT's "<execution>-<index>" with the index in the low 16 bits."""
    shown = str(trade.get("trade_seq", trade["trade_id"]))
    execution, dash, index = shown.partition("-")
    return str(int(execution) << 16 | int(index)) if dash else shown


def _order_number(shown: str) -> int:
    """What rises from order to order: a plain id, the end of "ETH-5848", the low 64 bits of a hexadecimal one."""
    if shown.startswith("0x"):
        return int(shown, 16) & (1 << 64) - 1
    return int(shown.rpartition("-")[2])


def _request(url: str, body: dict[str, Any] | None = None, method: str | None = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"}, method=method)
    # Loopback only: an opener without the environment's proxies.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT_S) as response:
            answer = json.loads(response.read())
    except (OSError, urllib.error.URLError, ValueError) as error:
        raise Failure(f"{url}: the simulator did not answer usefully: {error}", ExitCode.VENUE) from None
    if not isinstance(answer, dict):
        raise Failure(f"{url}: found {type(answer).__name__}, expected an object", ExitCode.VENUE)
    return answer
