"""Signatures against the documented values."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from exchanges.adapter import ConfigurationError
from exchanges.deribit.auth import RequestSigner


@dataclass
class Pair:
    api_key: str = "AMANDA"
    secret: str = "AMANDASECRECT"


@pytest.mark.parametrize(
    ("secret", "timestamp", "nonce", "signature"),
    [
        (
            "AMANDASECRECT",
            1576074319000,
            "1iqt2wls",
            "56590594f97921b09b18f166befe0d1319b198bbcdad7ca73382de2f88fe9aa1",
        ),
        ("ABCD", 1554883365000, "fdbmmz79", "e20c9cd5639d41f8bbc88f4d699c4baf94a4f0ee320e9a116b72743c449eb994"),
    ],
)
def test_a_login_signs_as_the_documentation_does(secret: str, timestamp: int, nonce: str, signature: str) -> None:
    parameters = RequestSigner(Pair(secret=secret)).login_with_signature(timestamp, nonce=nonce)
    assert parameters == {
        "grant_type": "client_signature", "client_id": "AMANDA", "timestamp": timestamp, "nonce": nonce, "data": "",
        "signature": signature,
    }  # fmt: skip


def test_an_http_request_is_signed_as_the_documentation_does() -> None:
    uri = "/api/v2/private/get_account_summary?currency=BTC"
    assert RequestSigner(Pair()).headers("get", uri, b"", 1576074319000, "1iqt2wls") == {
        "Authorization": "deri-hmac-sha256 id=AMANDA,ts=1576074319000,nonce=1iqt2wls,"
        "sig=9bfbc51a2bc372d72cc396cf1a213dc78d42eb74cb7dc272351833ad0de276ab"
    }


def test_the_body_is_signed_too() -> None:
    signer = RequestSigner(Pair())
    one, other = (signer.headers("POST", "/api/v2", body, 1, "n") for body in (b"{}", b"{ }"))
    assert one != other


def test_nonces_are_used_once_and_scopes_are_asked_for_by_name() -> None:
    signer = RequestSigner(Pair())
    nonces = {signer.login(1)["nonce"] for _ in range(100)}
    assert len(nonces) == 100
    assert signer.login(1, "connection trade:read_write")["scope"] == "connection trade:read_write"
    assert "scope" not in signer.login(1)


def test_only_the_login_by_secret_shows_the_secret() -> None:
    signer = RequestSigner(Pair())
    assert signer.login_with_secret("session:a") == {
        "grant_type": "client_credentials", "client_id": "AMANDA", "client_secret": "AMANDASECRECT",
        "scope": "session:a",
    }  # fmt: skip
    assert "AMANDASECRECT" not in f"{signer!r}{signer.login(1)}{signer.headers('GET', '/', b'', 1)}"


def test_the_config_chooses_what_a_login_shows() -> None:
    assert RequestSigner(Pair(), "signature").login(1)["grant_type"] == "client_signature"
    assert RequestSigner(Pair(), "secret").login(1, "session:a") == RequestSigner(Pair()).login_with_secret("session:a")
    assert "AMANDASECRECT" not in f"{RequestSigner(Pair(), 'secret').headers('GET', '/', b'', 1)}"


@pytest.mark.parametrize("pair", [Pair(secret=" "), Pair(api_key="")])
def test_an_empty_half_of_the_pair_is_said(pair: Pair) -> None:
    with pytest.raises(ConfigurationError, match="is empty"):
        RequestSigner(pair)
