"""Signatures against published values."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.adapter import ConfigurationError
from exchanges.grvt.auth import RequestSigner, address_of, asset_word, make_signer
from exchanges.grvt.typed_data import TIME_IN_FORCE_CODES, Leg, order_digest
from tests.exchanges.grvt.signing_cases import VECTORS, digest_of, legs, signer_of

KEY = VECTORS["orders"][0]["private_key"]
ADDRESS = VECTORS["orders"][0]["signer"]
ONE_LEG = [vector for vector in VECTORS["orders"] if len(vector["legs"]) == 1 and "builder" not in vector]


def signer(vector) -> RequestSigner:
    credentials = SimpleNamespace(api_key="k", secret=vector["private_key"])
    return RequestSigner(credentials, vector["chain_id"], int(vector.get("sub_account_id", 0)))


def sign(made: RequestSigner, vector):
    (leg,) = legs(vector)
    return made.sign_order(
        asset_word(vector["legs"][0][1]),
        leg.contract_size,
        leg.limit_price,
        leg.buying,
        market=vector["is_market"],
        time_in_force=TIME_IN_FORCE_CODES[vector["time_in_force"]],
        post_only=vector["post_only"],
        reduce_only=vector["reduce_only"],
        nonce=vector["nonce"],
        expiration_ns=int(vector["expiration"]),
    )


@pytest.mark.parametrize("vector", ONE_LEG, ids=lambda vector: vector["name"])
def test_the_prepared_way_makes_the_published_signature(vector) -> None:
    made = signer(vector)
    expected = (vector["r"], vector["s"], vector["v"])
    assert sign(made, vector) == expected
    assert sign(made, vector) == expected, "what is prepared must not be used up"
    assert made.address == vector["signer"]


@pytest.mark.parametrize("vector", [*VECTORS["orders"], *VECTORS["flat"]], ids=lambda vector: vector["name"])
def test_a_published_digest_gets_the_published_signature(vector) -> None:
    digest = bytes.fromhex(vector["digest"][2:])
    assert signer(vector).sign_digest(digest) == (vector["r"], vector["s"], vector["v"])


def test_there_are_vectors_with_leading_zeros() -> None:
    assert any(vector["r"].startswith("0x00") for vector in ONE_LEG)
    assert any(vector["s"].startswith("0x00") for vector in ONE_LEG)


@given(
    size=st.integers(0, 2**64 - 1),
    price=st.integers(0, 2**64 - 1),
    buying=st.booleans(),
    market=st.booleans(),
    time_in_force=st.sampled_from(sorted(TIME_IN_FORCE_CODES.values())),
    post_only=st.booleans(),
    reduce_only=st.booleans(),
    nonce=st.integers(0, 2**32 - 1),
    expiration_ns=st.integers(0, 2**63 - 1),
)
def test_the_prepared_way_signs_the_digest_written_out_in_full(size, price, buying, **terms) -> None:
    made = RequestSigner(SimpleNamespace(api_key="k", secret=KEY), 326, 7)
    r, s, v = made.sign_order(asset_word("0x030501"), size, price, buying, **terms)
    digest = order_digest(326, sub_account_id=7, legs=[Leg(0x030501, size, price, buying)], **terms)
    assert signer_of(digest, {"r": r, "s": s, "v": v}) == ADDRESS
    assert len(r) == len(s) == 66


def test_a_key_is_taken_with_and_without_its_prefix() -> None:
    assert address_of(make_signer(KEY)) == address_of(make_signer(KEY.removeprefix("0x") + "\n")) == ADDRESS


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("", "the secret is empty"),
        (" 0x", "the secret is empty"),
        ("0x1234", "64 hex digits"),
        ("zz" * 32, "64 hex digits"),
        ("00" * 32, "64 hex digits"),
        ("ff" * 32, "64 hex digits"),
    ],
)
def test_a_useless_secret_is_one_clear_sentence_that_does_not_show_it(secret: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as refused:
        make_signer(secret)
    assert len(secret) < 5 or secret not in str(refused.value)


def test_a_signer_does_not_show_its_key() -> None:
    assert KEY[2:] not in repr(signer(VECTORS["orders"][0]))
    assert digest_of(VECTORS["orders"][0])
