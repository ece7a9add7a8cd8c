"""The published signing vectors, and orders that were really signed, in the shape that the signing functions take."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coincurve import PublicKey

from exchanges.grvt.typed_data import PRICE_SCALE, TIME_IN_FORCE_CODES, Leg, cut, keccak, order_digest

VECTORS = json.loads(Path(__file__).with_name("signing_vectors.json").read_text())
BASE_DECIMALS = {"BTC_USDT_Perp": ("0x030501", 9), "ETH_USDT_Perp": ("0x030401", 9)}


def legs(vector: dict[str, Any]) -> list[Leg]:
    return [
        Leg(int(asset, 16), cut(size, decimals), cut(price, PRICE_SCALE), buying)
        for _, asset, decimals, size, price, buying in vector["legs"]
    ]


def digest_of(vector: dict[str, Any]) -> bytes:
    builder = vector.get("builder")
    return order_digest(
        vector["chain_id"],
        sub_account_id=int(vector["sub_account_id"]),
        market=vector["is_market"],
        time_in_force=TIME_IN_FORCE_CODES[vector["time_in_force"]],
        post_only=vector["post_only"],
        reduce_only=vector["reduce_only"],
        legs=legs(vector),
        nonce=int(vector["nonce"]),
        expiration_ns=int(vector["expiration"]),
        builder=(int(builder[0], 16), cut(builder[1], 4)) if builder else None,
    )


def signer_of(digest: bytes, vector: dict[str, Any]) -> str:
    """The address that a signature comes from."""
    raw = bytes.fromhex(vector["r"][2:]) + bytes.fromhex(vector["s"][2:]) + bytes([int(vector["v"]) - 27])
    key = PublicKey.from_signature_and_message(raw, digest, hasher=None)
    return "0x" + keccak(key.format(compressed=False)[1:])[12:].hex()


def recorded_orders(corpus: Path) -> Iterator[dict[str, Any]]:
    """Every order of the corpus that carries a whole signature, as a vector without digest."""
    for name in ("rest_recorded.jsonl", "ws_recorded.jsonl"):
        for line in (corpus / "grvt" / name).read_text().splitlines():
            yield from map(_vector, _orders(json.loads(line)["message"]))


def _orders(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for entry in value:
            yield from _orders(entry)
    elif isinstance(value, dict):
        if "legs" in value and "signature" in value:
            if "." not in value["signature"]["r"]:
                yield value
        else:
            for entry in value.values():
                yield from _orders(entry)


def _vector(order: dict[str, Any]) -> dict[str, Any]:
    signature = order["signature"]
    return {
        **{name: order[name] for name in ("is_market", "time_in_force", "post_only", "reduce_only")},
        **{name: signature[name] for name in ("signer", "r", "s", "v", "nonce", "expiration")},
        "sub_account_id": order["sub_account_id"],
        "chain_id": 325,
        "legs": [
            [
                leg["instrument"],
                *BASE_DECIMALS[leg["instrument"]],
                leg["size"],
                leg["limit_price"],
                leg["is_buying_asset"],
            ]
            for leg in order["legs"]
        ],
    }
