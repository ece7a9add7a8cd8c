"""EIP-712 digests of what GRVT wants signed, after the venue's own type strings.

The rule: a digest is `keccak(0x1901 | domain separator | struct hash)`, every value is one 32-byte big-endian word, and
everything that does not change with the message is hashed once, here. Numbers come in as the integers that the venue
signs (contract size in 10^base_decimals, limit price in 10^9), so no rounding can happen on the way.

Source: the venue's SDK (grvt-pysdk, grvt_raw_signing), https://eips.ethereum.org/EIPS/eip-712.
Nothing here holds a key.

Who calls it: auth.py (the client's signatures) and simulator_auth.py (who signed this?).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sha3 import keccak_256

CHAIN_IDS: Final = {"live": 325, "testnet": 326, "simulator": 325}
"""By environment. The simulator is a copy of the live venue, and signs for its chain."""

PRICE_SCALE: Final = 9
"""Limit prices are signed in 10^-9 whatever the tick."""

LEG_TYPE: Final = "OrderLeg(uint256 assetID,uint64 contractSize,uint64 limitPrice,bool isBuyingContract)"
ORDER_TYPE: Final = (
    "Order(uint64 subAccountID,bool isMarket,uint8 timeInForce,bool postOnly,bool reduceOnly,OrderLeg[] legs,"
    "uint32 nonce,int64 expiration)"
)
BUILDER_ORDER_TYPE: Final = (
    "OrderWithBuilderFee(uint64 subAccountID,bool isMarket,uint8 timeInForce,bool postOnly,bool reduceOnly,"
    "OrderLeg[] legs,address builder,uint32 builderFee,uint32 nonce,int64 expiration)"
)
WALLET_LOGIN_TYPE: Final = "WalletLogin(address signer,uint32 nonce,int64 expiration)"
POSITION_CONFIG_TYPE: Final = (
    "SetSubAccountPositionMarginConfig(uint64 subAccountID,uint256 asset,uint8 marginType,int32 leverage,"
    "uint32 nonce,int64 expiration)"
)
DERISK_TYPE: Final = (
    "SetDeriskToMaintenanceMarginRatio(uint64 subAccountID,uint32 deriskToMaintenanceMarginRatio,"
    "uint32 nonce,int64 expiration)"
)
TRANSFER_TYPE: Final = (
    "Transfer(address fromAccount,uint64 fromSubAccount,address toAccount,uint64 toSubAccount,uint8 tokenCurrency,"
    "uint64 numTokens,uint32 nonce,int64 expiration)"
)

TIME_IN_FORCE_CODES: Final = {
    "GOOD_TILL_TIME": 1,
    "ALL_OR_NONE": 2,
    "IMMEDIATE_OR_CANCEL": 3,
    "FILL_OR_KILL": 4,
    "RETAIL_PRICE_IMPROVEMENT": 5,
}


def keccak(data: bytes) -> bytes:
    """Keccak-256 as Ethereum uses it (the padding before SHA-3 became a standard)."""
    digest: bytes = keccak_256(data).digest()
    return digest


def word(value: int) -> bytes:
    """One EIP-712 value; booleans are 0 and 1, addresses their number. Raises OverflowError below 0 or above 2^256."""
    return value.to_bytes(32, "big")


def words(values: Iterable[int]) -> bytes:
    return b"".join(value.to_bytes(32, "big") for value in values)


LEG_TYPEHASH: Final = keccak(LEG_TYPE.encode())
ORDER_TYPEHASH: Final = keccak((ORDER_TYPE + LEG_TYPE).encode())
BUILDER_ORDER_TYPEHASH: Final = keccak((BUILDER_ORDER_TYPE + LEG_TYPE).encode())
_DOMAIN: Final = (
    keccak(b"EIP712Domain(string name,string version,uint256 chainId)") + keccak(b"GRVT Exchange") + keccak(b"0")
)


def domain_separator(chain_id: int) -> bytes:
    return keccak(_DOMAIN + word(chain_id))


def envelope(chain_id: int) -> bytes:
    """What stands before the struct hash in every digest of this chain."""
    return b"\x19\x01" + domain_separator(chain_id)


@dataclass(frozen=True)
class Leg:
    """One leg as it is signed: all integers, all the venue's units."""

    asset_id: int
    contract_size: int
    limit_price: int
    buying: bool


def order_digest(
    chain_id: int,
    *,
    sub_account_id: int,
    market: bool,
    time_in_force: int,
    post_only: bool,
    reduce_only: bool,
    legs: Sequence[Leg],
    nonce: int,
    expiration_ns: int,
    builder: tuple[int, int] | None = None,
) -> bytes:
    """Digest of any order, written out in full: the yardstick of the short cut in auth.py, and what the simulator
    recovers signers from. `builder`: the address as a number and the fee in 10^-4 percent."""
    leg_hashes = b"".join(
        keccak(LEG_TYPEHASH + words((leg.asset_id, leg.contract_size, leg.limit_price, leg.buying))) for leg in legs
    )
    body = words((sub_account_id, market, time_in_force, post_only, reduce_only)) + keccak(leg_hashes)
    if builder is not None:
        body += words(builder)
    body += words((nonce, expiration_ns))
    typehash = ORDER_TYPEHASH if builder is None else BUILDER_ORDER_TYPEHASH
    return keccak(envelope(chain_id) + keccak(typehash + body))


def flat_digest(chain_id: int, type_text: str, values: Iterable[int]) -> bytes:
    """Digest of a struct without arrays and texts (login, transfer, margin settings), values in the type's order."""
    return keccak(envelope(chain_id) + keccak(keccak(type_text.encode()) + words(values)))


def cut(text: str, scale: int) -> int:
    """Plain decimal text as an integer of `scale` decimals, digits beyond it cut off as the venue does.

    Raises ValueError for what is not plain ASCII digits with at most one point.
    """
    whole, _, fraction = text.partition(".")
    digits = whole + fraction[:scale].ljust(scale, "0")
    if not whole or not digits.isascii() or not digits.isdigit() or not fraction[scale:].strip("0123456789") == "":
        raise ValueError(f"{text!r} is not a plain decimal number")
    return int(digits)
