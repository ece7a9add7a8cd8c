"""Digests against published values, and against orders that the venue really took."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.grvt import typed_data
from exchanges.grvt.typed_data import cut, domain_separator, flat_digest, keccak
from tests.exchanges.grvt.signing_cases import VECTORS, digest_of, recorded_orders, signer_of

FLAT_TYPES = {
    "WalletLogin": typed_data.WALLET_LOGIN_TYPE,
    "Transfer": typed_data.TRANSFER_TYPE,
    "SetSubAccountPositionMarginConfig": typed_data.POSITION_CONFIG_TYPE,
    "SetDeriskToMaintenanceMarginRatio": typed_data.DERISK_TYPE,
}


def test_keccak_is_not_sha3() -> None:
    """The value of the empty message that Ethereum publishes as its empty code hash."""
    assert keccak(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


def test_constant_hashes_equal_the_published_ones() -> None:
    constants = VECTORS["constants"]
    assert "0x" + typed_data.ORDER_TYPEHASH.hex() == constants["order_typehash"]
    assert "0x" + typed_data.LEG_TYPEHASH.hex() == constants["leg_typehash"]
    assert "0x" + typed_data.BUILDER_ORDER_TYPEHASH.hex() == constants["builder_order_typehash"]
    separators = {chain: "0x" + domain_separator(int(chain)).hex() for chain in constants["domain_separators"]}
    assert separators == constants["domain_separators"]


@pytest.mark.parametrize("vector", VECTORS["orders"], ids=lambda vector: vector["name"])
def test_the_digest_of_an_order_equals_the_published_one(vector) -> None:
    assert "0x" + digest_of(vector).hex() == vector["digest"]


@pytest.mark.parametrize("vector", VECTORS["flat"], ids=lambda vector: vector["name"])
def test_the_digest_of_a_flat_struct_equals_the_published_one(vector) -> None:
    digest = flat_digest(vector["chain_id"], FLAT_TYPES[vector["type"]], map(int, vector["values"]))
    assert "0x" + digest.hex() == vector["digest"]


def test_every_recorded_order_was_signed_by_the_signer_it_names(corpus: Path) -> None:
    vectors = list(recorded_orders(corpus))
    assert len(vectors) >= 6
    assert [signer_of(digest_of(vector), vector) for vector in vectors] == [vector["signer"] for vector in vectors]


@pytest.mark.parametrize(
    ("text", "scale", "value"),
    [
        ("1.013", 9, 1_013_000_000),  # a float would make 1012999999 of it
        ("65000.5", 9, 65_000_500_000_000),
        ("65000", 9, 65_000_000_000_000),
        ("0.1234567899", 9, 123_456_789),
        ("0", 9, 0),
        ("1.5", 0, 1),
    ],
)
def test_wire_numbers_are_cut_and_never_rounded(text: str, scale: int, value: int) -> None:
    assert cut(text, scale) == value


@pytest.mark.parametrize(
    "text", ["", ".", ".5", "1e3", "-1", "+1", "1,5", "1.2.3", "1.23x", "\u0661", "1.\u0661", "1 "]
)
def test_what_is_no_plain_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="plain decimal number"):
        cut(text, 1)


@given(st.decimals(min_value=0, max_value=10**9, places=9, allow_nan=False))
def test_nine_decimals_are_kept_whole(number) -> None:
    assert cut(f"{number:f}", 9) == int(number * 10**9)
