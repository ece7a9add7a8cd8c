"""The three ways in which the Deribit simulator tells of orders agree with its truth, whatever was asked of it."""

from __future__ import annotations

import random
from collections import defaultdict
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from exchanges.deribit.simulator import SimulatorOptions, serve
from tests.exchanges.deribit.simulator_client import Place, Socket

CHANNELS = ("user.orders.any.any.raw", "user.trades.any.any.raw", "user.changes.any.any.raw")
REQUESTS = 150


async def act(user: Socket, chance: random.Random, names: list[str], ids: list[str]) -> None:
    """One request that is mostly sensible."""
    name = chance.choice(names)
    if ids and chance.random() < 0.4:
        order_id = chance.choice(ids)
        if chance.random() < 0.5:
            await user.call("private/cancel", order_id=order_id)
        else:
            row = await user.ask("private/get_order_state", order_id=order_id)
            change = {"price": row["price"]} if chance.random() < 0.3 else {}
            amount = row["amount"] * chance.choice((1, 2)) if row["amount"] < 1e5 else row["amount"]
            await user.call("private/edit", order_id=order_id, amount=amount, **change)
        return
    book = await user.ask("public/get_order_book", instrument_name=name, depth=5)
    lot = {"U": 0.1, "P": 100.0, "C": 1.0}["U" if "USDC" in name else "C" if name[-2:] in ("-C", "-P") else "P"]
    side = chance.choice(("buy", "sell"))
    levels = book["asks"] if (side == "buy") == (chance.random() < 0.6) else book["bids"]
    if not levels:
        return
    params: dict[str, Any] = {"instrument_name": name, "amount": lot * chance.randint(1, 5), "price": levels[0][0]}
    params |= chance.choice(({}, {"post_only": True}, {"time_in_force": "immediate_or_cancel"}, {"label": "x"}))
    answer = await user.call(f"private/{side}", **params)
    if "result" in answer:
        ids.append(answer["result"]["order"]["order_id"])


@pytest.mark.parametrize("seed", [1, 2])
async def test_notifications_replay_to_the_truth(seed: int) -> None:
    chance = random.Random(seed)
    options = SimulatorOptions(symbols=("BTC-PERPETUAL", "BTC_USDC-PERPETUAL"), chain=True, seed=seed)
    async with await serve(options) as server, aiohttp.ClientSession() as session:
        server.venue.credits.enforced = False
        place = Place(server, session)
        user = await place.user(*CHANNELS)
        option = next(name for name in server.venue.markets if name.endswith("-60000-C"))
        names, ids = ["BTC-PERPETUAL", "BTC_USDC-PERPETUAL", option], list[str]()
        for _ in range(REQUESTS):
            await act(user, chance, names, ids)
        server.command_flow({"action": "freeze"})
        await user.settled()
        truth = await place.truth()
        orders: dict[str, Any] = {}
        trades: dict[str, Any] = {}
        bundled: dict[str, Any] = {}
        positions: dict[str, Any] = {}
        for note in user.notes:
            data, channel = note["params"]["data"], note["params"]["channel"]
            if channel == CHANNELS[0]:
                orders[data["order_id"]] = data
            elif channel == CHANNELS[1]:
                trades |= {row["trade_id"]: row for row in data}
            else:
                bundled |= {row["order_id"]: row for row in data["orders"]}
                positions |= {row["instrument_name"]: row for row in data["positions"]}
        await place.close()
    assert orders == bundled and len(trades) > 10
    assert {o["order_id"] for o in truth["orders"]} == orders.keys()
    for order in truth["orders"]:
        told = orders[order["order_id"]]
        assert Decimal(order["filled"]) == Decimal(str(told["filled_amount"])), order
        assert Decimal(order["price"]) == Decimal(str(told["price"]))
        assert order["open"] == (told["order_state"] == "open")
    assert {t["trade_id"] for t in truth["trades"]} == trades.keys()
    held: dict[str, Decimal] = defaultdict(Decimal)
    fees: dict[str, Decimal] = defaultdict(Decimal)
    for row in trades.values():
        held[row["instrument_name"]] += Decimal(str(row["amount"])) * (1 if row["direction"] == "buy" else -1)
        fees[row["fee_currency"]] += Decimal(str(row["fee"]))
    for name, position in truth["positions"].items():
        assert Decimal(position["quantity"]) == held[name]
        if name in positions:
            assert Decimal(str(positions[name]["size"])) == held[name]
    for currency, money in truth["currencies"].items():
        assert Decimal(money["fees"]) == fees[currency]
        parts = Decimal(money["realized_pnl"]) - Decimal(money["fees"]) + Decimal(money["funding"])
        assert Decimal(money["wallet_balance"]) == Decimal(money["initial_wallet_balance"]) + parts
