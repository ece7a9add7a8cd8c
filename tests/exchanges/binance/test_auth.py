"""Signatures against published and recomputed values."""

from __future__ import annotations

from types import SimpleNamespace
from urllib.parse import parse_qs

import pytest

from exchanges.adapter import ConfigurationError
from exchanges.binance.auth import Ed25519Signer, RequestSigner, make_signer
from exchanges.hmac_signer import HmacSigner

KEY = "dbefbc809e3e83c283a984c3a1459732ea7db1360ca80c5c2c8867408d28cc83"
SECRET = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
SPOT_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SPOT_SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
ED25519_PEM = (
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n"
    "-----END PRIVATE KEY-----\n"
)
"""A throw-away key: its seed is the bytes 0 to 31."""

HMAC_VECTORS = {
    # General Info, signed endpoint example 1
    "all parameters in one string": (
        SECRET,
        "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000"
        "&timestamp=1591702613943",
        "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9",
    ),
    # General Info, example 3: the published value signs a stray blank after "timestamp="
    "query and body, as published": (
        SECRET,
        "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTCquantity=1&price=9000&recvWindow=5000"
        "&timestamp= 1591702613943",
        "f9d0ae5e813ef6ccf15c2b5a434047a0181cb5a342b903b367ca6d27a66e36f2",
    ),
    "query and body, without the blank": (
        SECRET,
        "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTCquantity=1&price=9000&recvWindow=5000"
        "&timestamp=1591702613943",
        "30baaf0fab549bbeda7f5ef201898b34122da25fd23c646cac2c529aebe670a4",
    ),
}


@pytest.mark.parametrize("name", HMAC_VECTORS)
def test_hmac_signatures_equal_the_known_values(name: str) -> None:
    secret, payload, signature = HMAC_VECTORS[name]
    signer = HmacSigner(secret)
    assert signer.sign(payload.encode()) == signature
    assert signer.sign(payload.encode()) == signature, "the prepared key state must not be used up"


def test_websocket_api_parameters_are_signed_sorted_with_the_key_among_them() -> None:
    """Spot WebSocket API, request security: the same algorithm, with a published value."""
    signer = RequestSigner(SimpleNamespace(api_key=SPOT_KEY, secret=SPOT_SECRET))
    signed = signer.signed_parameters(
        {
            "symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01000000",
            "price": "52000.00", "newOrderRespType": "ACK", "recvWindow": 100, "timestamp": 1645423376532,
        }
    )  # fmt: skip
    assert signed["signature"] == "cc15477742bd704c29492d96c7ead9414dfd8e0ec4a00f947bb5bb454ddbd08a"
    assert signed["apiKey"] == SPOT_KEY


def test_a_futures_order_for_the_websocket_api() -> None:
    signer = RequestSigner(SimpleNamespace(api_key=KEY, secret=SECRET))
    signed = signer.signed_parameters(
        {
            "newClientOrderId": "sim:0001/a", "price": "84551.0", "quantity": "0.010", "recvWindow": 5000,
            "side": "BUY", "symbol": "BTCUSDT", "timeInForce": "GTX", "timestamp": 1790526539000, "type": "LIMIT",
        }
    )  # fmt: skip
    assert signed["signature"] == "546c166a788d6411268948956cc555d0508c8dadca60a13d9338b25478d02f31"


def test_ed25519_logon_equals_the_known_value() -> None:
    signer = RequestSigner(SimpleNamespace(api_key=KEY, secret=ED25519_PEM))
    signed = signer.signed_parameters({"recvWindow": 5000, "timestamp": 1790526539000})
    assert signed["signature"] == (
        "Z+9uRiG3UnMwwJpiU8k2WTPjVDbWoUSBIMItzAhikKbOcb8FYGJzkprNSyuxIPXg2QIyN8XAGlgVCeE+QMtgDw=="
    )


def test_a_query_string_ends_with_the_signature_over_all_before_it() -> None:
    signer = RequestSigner(SimpleNamespace(api_key=KEY, secret=SECRET))
    query = signer.signed_query(
        "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC", 1591702613943, 5000
    )
    assert query == f"{HMAC_VECTORS['all parameters in one string'][1]}&signature=" + (
        "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"
    )
    assert signer.headers == {"X-MBX-APIKEY": KEY}
    assert signer.signed_query("", 1, 2).startswith("recvWindow=2&timestamp=1&signature=")


def test_an_ed25519_signature_is_percent_encoded_in_a_query() -> None:
    signer = RequestSigner(SimpleNamespace(api_key=KEY, secret=ED25519_PEM))
    query = signer.signed_query("a=1", 1790526539000, 5000)
    payload, _, encoded = query.partition("&signature=")
    assert not set("+/=") & set(encoded)
    assert parse_qs(f"s={encoded}")["s"] == [Ed25519Signer(ED25519_PEM).sign(payload.encode())]


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("", "the secret is empty"),
        ("  \n", "the secret is empty"),
        ("-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n", "cannot be read"),
    ],
)
def test_a_useless_secret_is_one_clear_sentence(secret: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        make_signer(secret)


def test_another_kind_of_pem_key_is_refused() -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with pytest.raises(ConfigurationError, match="Ed25519"):
        make_signer(pem)


def test_a_signer_shows_neither_key_nor_secret() -> None:
    signer = RequestSigner(SimpleNamespace(api_key=KEY, secret=SECRET))
    assert SECRET not in repr(signer)
    assert SECRET not in repr(make_signer(SECRET))
