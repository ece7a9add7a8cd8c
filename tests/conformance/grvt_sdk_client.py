"""grvt-pysdk on its own: run by test_sdk_grvt.py under the Python of an environment that has it (it pins an old
websockets), pointed at the address given as argument, telling what it saw as one JSON object.

The SDK's hosts are written into three functions; those are replaced before a client is built, and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from typing import Any

REST, STREAM, API_KEY, SECRET, ACCOUNT = sys.argv[1:]
SYMBOL = "BTC_USDT_Perp"
LOG = logging.getLogger("sdk")


def on_loopback() -> None:
    from pysdk import grvt_ccxt_env, grvt_ccxt_ws, grvt_raw_base
    from pysdk.grvt_raw_env import GrvtEndpointConfig, GrvtEnvConfig

    kinds = grvt_ccxt_env.GrvtEndpointType
    grvt_ccxt_env.get_grvt_endpoint_domains = lambda env: {
        kinds.EDGE: REST, kinds.TRADE_DATA: f"{REST}/trades", kinds.MARKET_DATA: f"{REST}/market",
    }  # fmt: skip
    sockets = grvt_ccxt_env.GrvtWSEndpointType
    grvt_ccxt_ws.get_grvt_ws_endpoint = lambda env, kind: {
        sockets.TRADE_DATA: f"{STREAM}/trades/ws",
        sockets.MARKET_DATA: f"{STREAM}/market/ws",
        sockets.TRADE_DATA_RPC_FULL: f"{STREAM}/trades/ws/full",
        sockets.MARKET_DATA_RPC_FULL: f"{STREAM}/market/ws/full",
    }[kind]
    one = GrvtEndpointConfig(REST, None)
    grvt_raw_base.get_env_config = lambda env: GrvtEnvConfig(one, one, one, 325)


def parameters() -> dict[str, str]:
    return {"api_key": API_KEY, "trading_account_id": ACCOUNT, "private_key": SECRET}


def rest() -> dict[str, Any]:
    """GrvtCcxt: markets, an order over REST, its cancel, a market order, its fill."""
    from pysdk.grvt_ccxt import GrvtCcxt
    from pysdk.grvt_ccxt_env import GrvtEnv

    client = GrvtCcxt(GrvtEnv.PROD, LOG, parameters=parameters())
    seen: dict[str, Any] = {"markets": sorted(client.load_markets())}
    book = client.fetch_order_book(SYMBOL, limit=10)
    price = round(float(book["bids"][0]["price"]) * 0.98, 1)
    seen["created"] = client.create_order(
        SYMBOL, "limit", "buy", "0.01", price, params={"client_order_id": 2**63 + 7, "time_in_force": "GOOD_TILL_TIME"}
    )
    seen["open"] = wait(lambda: client.fetch_open_orders(SYMBOL))
    seen["canceled"] = client.cancel_order(params={"client_order_id": str(2**63 + 7)})
    wait(lambda: not client.fetch_open_orders(SYMBOL))
    client.create_order(SYMBOL, "market", "buy", "0.02")
    seen["positions"] = wait(lambda: client.fetch_positions([SYMBOL]))
    seen["trades"] = client.fetch_my_trades(SYMBOL)
    seen["summary"] = client.get_account_summary("sub-account")
    return seen


def wait(ask: Any, seconds: float = 5.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := ask()) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def raw() -> dict[str, Any]:
    """GrvtRawSync: typed calls, and its own signature on a raw order."""
    from pysdk import grvt_raw_types as types
    from pysdk.grvt_raw_base import GrvtApiConfig
    from pysdk.grvt_raw_env import GrvtEnv
    from pysdk.grvt_raw_signing import sign_order
    from pysdk.grvt_raw_sync import GrvtRawSync

    config = GrvtApiConfig(GrvtEnv.PROD, ACCOUNT, SECRET, API_KEY, LOG)
    client = GrvtRawSync(config)
    listed = client.get_all_instruments_v1(types.ApiGetAllInstrumentsRequest(is_active=True)).result
    order = types.Order(
        sub_account_id=ACCOUNT,
        time_in_force=types.TimeInForce.GOOD_TILL_TIME,
        legs=[types.OrderLeg(SYMBOL, "0.011", True, "60000.1")],
        signature=types.Signature("", "", "", 0, str(time.time_ns() + 10**12), 77),
        metadata=types.OrderMetadata(str(2**63 + 9)),
        is_market=False,
        post_only=True,
        reduce_only=False,
    )
    signed = sign_order(order, config, client.account, {entry.instrument: entry for entry in listed})
    answer = client.create_order_v1(types.ApiCreateOrderRequest(signed))
    return {"instruments": len(listed), "created": str(answer)}


async def sockets() -> dict[str, Any]:
    """GrvtCcxtWS: the old gateway and the new one, public and private."""
    from pysdk.grvt_ccxt_env import GrvtEnv, GrvtWSEndpointType
    from pysdk.grvt_ccxt_ws import GrvtCcxtWS

    seen: dict[str, Any] = {}
    client = GrvtCcxtWS(GrvtEnv.PROD, asyncio.get_running_loop(), LOG, parameters=parameters())
    await client.initialize()

    def take(name: str) -> Any:
        async def on_message(message: dict[str, Any]) -> None:
            seen.setdefault(name, message)

        return on_message

    await asyncio.sleep(1.0)
    kinds = GrvtWSEndpointType
    await client.subscribe("mini.s", take("old gateway"), kinds.MARKET_DATA, {"instrument": SYMBOL, "rate": "200"})
    await client.subscribe("book.s", take("book"), kinds.MARKET_DATA_RPC_FULL, {"instrument": SYMBOL})
    await client.subscribe("order", take("order"), kinds.TRADE_DATA_RPC_FULL, {"instrument": SYMBOL})
    await asyncio.sleep(0.5)
    await client.create_order(SYMBOL, "market", "buy", "0.01")
    end = time.monotonic() + 5.0
    while len(seen) < 3 and time.monotonic() < end:
        await asyncio.sleep(0.02)
    return seen


def main() -> None:
    on_loopback()
    result = {"rest": rest(), "raw": raw(), "sockets": asyncio.run(sockets())}
    print("RESULT " + json.dumps(result, default=str), flush=True)
    sys.exit(0)


if __name__ == "__main__":
    main()
