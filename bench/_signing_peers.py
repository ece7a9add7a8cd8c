"""The other ways to sign a GRVT order, each in the words of its own package; run by bench/signing.py.

They need packages that must not stand beside ours (grvt-pysdk pins an old websockets), so this file runs under the
Python of an environment of their own and needs nothing else: it reads one JSON line per block and answers with one.
A peer is given its order as its users would write it; the signer's key object and all that a client keeps are ready
before.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

Order = tuple[str, str, bool, int, int]
"""Size, price, buying, nonce, expiration in ns."""
Signed = tuple[str, str, int]
TYPES = {
    "Order": [
        {"name": "subAccountID", "type": "uint64"}, {"name": "isMarket", "type": "bool"},
        {"name": "timeInForce", "type": "uint8"}, {"name": "postOnly", "type": "bool"},
        {"name": "reduceOnly", "type": "bool"}, {"name": "legs", "type": "OrderLeg[]"},
        {"name": "nonce", "type": "uint32"}, {"name": "expiration", "type": "int64"},
    ],
    "OrderLeg": [
        {"name": "assetID", "type": "uint256"}, {"name": "contractSize", "type": "uint64"},
        {"name": "limitPrice", "type": "uint64"}, {"name": "isBuyingContract", "type": "bool"},
    ],
}  # fmt: skip


def grvt_pysdk(key: str, sub_account: str) -> Callable[[Order], Signed]:
    """Version 0.2.1: sign_order of a raw Order."""
    from eth_account import Account
    from pysdk import grvt_raw_types as types
    from pysdk.grvt_raw_base import GrvtApiConfig
    from pysdk.grvt_raw_env import GrvtEnv
    from pysdk.grvt_raw_signing import sign_order

    config = GrvtApiConfig(GrvtEnv.PROD, sub_account, key, None, None)
    account = Account.from_key(key)
    instruments = {"BTC_USDT_Perp": _sdk_instrument(types)}

    def sign(order: Order) -> Signed:
        signature = sign_order(_sdk_order(types, sub_account, order), config, account, instruments).signature
        return signature.r, signature.s, signature.v

    return sign


def grvt_pysdk_bytes(key: str, sub_account: str) -> Callable[[Order], Any]:
    """Version 0.2.1 from a raw Order to the body that its REST client posts."""
    from eth_account import Account
    from pysdk import grvt_raw_types as types
    from pysdk.grvt_raw_base import DataclassJSONEncoder, GrvtApiConfig
    from pysdk.grvt_raw_env import GrvtEnv
    from pysdk.grvt_raw_signing import sign_order

    config = GrvtApiConfig(GrvtEnv.PROD, sub_account, key, None, None)
    account = Account.from_key(key)
    instruments = {"BTC_USDT_Perp": _sdk_instrument(types)}

    def body(order: Order) -> str:
        signed = sign_order(_sdk_order(types, sub_account, order), config, account, instruments)
        return json.dumps(types.ApiCreateOrderRequest(signed), cls=DataclassJSONEncoder)

    return body


def _sdk_instrument(types: Any) -> Any:
    return types.Instrument(
        "BTC_USDT_Perp", "0x030501", "BTC", "USDT", types.Kind.PERPETUAL, [types.Venue.ORDERBOOK],
        types.InstrumentSettlementPeriod.PERPETUAL, 9, 6, "0.1", "0.001", "0", "1000.0",
    )  # fmt: skip


def _sdk_order(types: Any, sub_account: str, order: Order) -> Any:
    size, price, buying, nonce, expiration = order
    return types.Order(
        sub_account_id=sub_account,
        time_in_force=types.TimeInForce.GOOD_TILL_TIME,
        legs=[types.OrderLeg("BTC_USDT_Perp", size, buying, price)],
        signature=types.Signature("", "", "", 0, str(expiration), nonce),
        metadata=types.OrderMetadata("1"),
        is_market=False,
        post_only=True,
        reduce_only=False,
    )


def eth_account(key: str, sub_account: str) -> Callable[[Order], Signed]:
    """encode_typed_data and sign_message with integers ready."""
    from decimal import Decimal

    from eth_account import Account
    from eth_account.messages import encode_typed_data

    account = Account.from_key(key)
    domain = {"name": "GRVT Exchange", "version": "0", "chainId": 325}

    def sign(order: Order) -> Signed:
        size, price, buying, nonce, expiration = order
        message = {
            "subAccountID": int(sub_account), "isMarket": False, "timeInForce": 1, "postOnly": True,
            "reduceOnly": False, "nonce": nonce, "expiration": expiration,
            "legs": [{"assetID": 0x030501, "contractSize": int(Decimal(size) * 10**9),
                      "limitPrice": int(Decimal(price) * 10**9), "isBuyingContract": buying}],
        }  # fmt: skip
        signed = account.sign_message(encode_typed_data(domain, TYPES, message))
        return f"0x{signed.r:064x}", f"0x{signed.s:064x}", signed.v

    return sign


def ccxt(key: str, sub_account: str) -> Callable[[Order], Signed]:
    """create_signed_request of its grvt class, which fills in the address as well."""
    import ccxt as library

    venue = library.grvt({"privateKey": key})
    instrument = {"spot": False, "precision": {"base": 1e-9}, "info": {"instrument_hash": "0x030501"}}
    venue.markets_by_id = {"BTC_USDT_Perp": [instrument]}
    venue.markets = {}

    def sign(order: Order) -> Signed:
        size, price, buying, nonce, expiration = order
        request = {
            "sub_account_id": sub_account, "is_market": False, "time_in_force": "GOOD_TILL_TIME", "post_only": True,
            "reduce_only": False,
            "legs": [{"instrument": "BTC_USDT_Perp", "size": size, "limit_price": price, "is_buying_asset": buying}],
            "signature": {"signer": "", "r": "", "s": "", "v": 0, "expiration": str(expiration), "nonce": nonce,
                          "chain_id": "325"},
        }  # fmt: skip
        signature = venue.create_signed_request(request, "EIP712_ORDER_TYPE")["signature"]
        return signature["r"], signature["s"], signature["v"]

    return sign


PEERS: dict[str, Callable[[str, str], Callable[[Order], Any]]] = {
    "grvt-pysdk": grvt_pysdk,
    "eth-account": eth_account,
    "ccxt": ccxt,
    "grvt-pysdk-bytes": grvt_pysdk_bytes,
}


def main() -> None:
    key, sub_account, core, *wanted = sys.argv[1:]
    os.sched_setaffinity(0, {int(core)})
    ready: dict[str, Callable[[Order], Signed]] = {}
    missing = {}
    for name in wanted:
        try:
            ready[name] = PEERS[name](key, sub_account)
        except ImportError as failure:
            missing[name] = str(failure)
    answer({"ready": list(ready), "missing": missing})
    for line in sys.stdin:
        asked = json.loads(line)
        sign, orders = ready[asked["peer"]], [tuple(order) for order in asked["orders"]]
        nanoseconds, signed = [], []
        for order in orders:
            began = perf_counter_ns()
            signature = sign(order)
            nanoseconds.append(perf_counter_ns() - began)
            signed.append(signature)
        answer({"ns": nanoseconds, "signed": signed})


def answer(value: Any) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    main()
