"""`exchanges/binance/simulator_auth.py` against the documented and recomputed signing vectors."""

from __future__ import annotations

import pytest

from exchanges.binance.simulator_auth import (
    ApiKey,
    check_signature,
    check_timestamp,
    find_key,
    read_parameters,
    sign,
    socket_payload,
)
from exchanges.binance.simulator_errors import VenueError
from exchanges.simulator.errors import SimulatorError

# Examples of the documentation; worthless keys. The third is the second without its stray blank.
KEY = "dbefbc809e3e83c283a984c3a1459732ea7db1360ca80c5c2c8867408d28cc83"
SECRET = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
WHOLE = (
    "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000&timestamp=1591702613943"
)
MIXED_QUERY = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC"
MIXED_BODY = "quantity=1&price=9000&recvWindow=5000&timestamp=1591702613943"
SOCKET_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SOCKET_SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
ED25519_PUBLIC = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=
-----END PUBLIC KEY-----
"""
ED25519_SIGNATURE = "Z+9uRiG3UnMwwJpiU8k2WTPjVDbWoUSBIMItzAhikKbOcb8FYGJzkprNSyuxIPXg2QIyN8XAGlgVCeE+QMtgDw=="


@pytest.mark.parametrize(
    ("query", "body", "signature"),
    [
        (WHOLE, "", "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"),
        ("", WHOLE, "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"),
        (MIXED_QUERY, MIXED_BODY, "30baaf0fab549bbeda7f5ef201898b34122da25fd23c646cac2c529aebe670a4"),
        (
            MIXED_QUERY,
            MIXED_BODY.replace("timestamp=", "timestamp= "),
            "f9d0ae5e813ef6ccf15c2b5a434047a0181cb5a342b903b367ca6d27a66e36f2",
        ),
    ],
)
def test_rest_vectors_verify_with_the_signature_in_the_query_or_the_body(query: str, body: str, signature: str) -> None:
    key = ApiKey(KEY, SECRET)
    for signed in (
        read_parameters(f"{query}&signature={signature}" if query else f"signature={signature}", body),
        read_parameters(query, f"{body}&signature={signature}" if body else f"signature={signature}"),
        read_parameters(f"signature={signature}&{query}" if query else f"signature={signature}", body),
    ):
        assert signed.payload == (query + body).encode()
        assert "signature" not in signed.parameters
        check_signature(key, signed.payload, signed.signature)
        check_signature(key, signed.payload, (signed.signature or "").upper())
        with pytest.raises(VenueError) as refused:
            check_signature(key, signed.payload + b"0", signed.signature)
        assert refused.value.code == -1022


def test_socket_vectors_sign_parameters_sorted_by_name() -> None:
    spot = {
        "type": "LIMIT",
        "apiKey": SOCKET_KEY,
        "symbol": "BTCUSDT",
        "side": "SELL",
        "timeInForce": "GTC",
        "quantity": "0.01000000",
        "price": "52000.00",
        "newOrderRespType": "ACK",
        "recvWindow": 100,
        "timestamp": 1645423376532,
        "signature": "not part of it",
    }
    assert sign(SOCKET_SECRET, socket_payload(spot)) == (
        "cc15477742bd704c29492d96c7ead9414dfd8e0ec4a00f947bb5bb454ddbd08a"
    )
    futures = {
        "apiKey": KEY,
        "newClientOrderId": "sim:0001/a",
        "price": "84551.0",
        "quantity": "0.010",
        "recvWindow": 5000,
        "side": "BUY",
        "symbol": "BTCUSDT",
        "timeInForce": "GTX",
        "timestamp": 1790526539000,
        "type": "LIMIT",
    }
    assert sign(SECRET, socket_payload(futures)) == "546c166a788d6411268948956cc555d0508c8dadca60a13d9338b25478d02f31"


def test_an_ed25519_signature_verifies_and_a_changed_one_does_not() -> None:
    key = ApiKey(KEY, public_key_pem=ED25519_PUBLIC)
    payload = socket_payload({"timestamp": 1790526539000, "recvWindow": 5000, "apiKey": KEY})
    check_signature(key, payload, ED25519_SIGNATURE)
    for wrong in (ED25519_SIGNATURE[:-4] + "AA==", "not base64!", "YWJj"):
        with pytest.raises(VenueError) as refused:
            check_signature(key, payload, wrong)
        assert refused.value.code == -1022


def test_the_query_string_wins_over_the_body() -> None:
    signed = read_parameters("symbol=BTCUSDT", "symbol=ETHUSDT&side=BUY")
    assert signed.parameters == {"symbol": "BTCUSDT", "side": "BUY"}


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({}, -1102),
        ({"timestamp": "soon"}, -1102),
        ({"timestamp": "100000", "recvWindow": "60001"}, -1130),
        ({"timestamp": "94999"}, -1021),
        ({"timestamp": "95000"}, None),
        ({"timestamp": "89999", "recvWindow": "10000"}, -1021),
        ({"timestamp": "90000", "recvWindow": "10000"}, None),
        ({"timestamp": "100999"}, None),
        ({"timestamp": "101000"}, -1021),
    ],
)
def test_the_receive_window_is_checked_on_both_sides(parameters: dict[str, str], code: int | None) -> None:
    if code is None:
        check_timestamp(parameters, 100_000)
        return
    with pytest.raises(VenueError) as refused:
        check_timestamp(parameters, 100_000)
    assert refused.value.code == code


@pytest.mark.parametrize(("header", "code"), [(None, -2014), ("", -2014), ("a b", -2014), ("unknown", -2015)])
def test_a_missing_or_unknown_key_is_401(header: str | None, code: int) -> None:
    with pytest.raises(VenueError) as refused:
        find_key({KEY: ApiKey(KEY, SECRET)}, header)
    assert (refused.value.code, refused.value.status) == (code, 401)


def test_a_key_without_either_secret_or_public_key_is_one_sentence() -> None:
    for wrong in ({}, {"secret": "s", "public_key_pem": ED25519_PUBLIC}, {"public_key_pem": "nonsense"}):
        with pytest.raises(SimulatorError) as error:
            ApiKey("k", **wrong)
        assert "\n" not in str(error.value)
