"""Logins as the venue answers them, and whose signature it takes."""

from __future__ import annotations

import time
from datetime import datetime

import pytest

from exchanges.grvt.auth import make_signer
from exchanges.grvt.simulator_auth import HALF_ORDER, ApiKey, Sessions, recovered
from exchanges.grvt.simulator_errors import VenueError
from exchanges.grvt.typed_data import WALLET_LOGIN_TYPE, flat_digest
from tests.exchanges.grvt.signing_cases import VECTORS, digest_of
from tests.exchanges.grvt.simulator_client import DEMO_KEY, SUB, logged_in

KEY = ApiKey("k", "0x" + "11" * 32, "9")


def sessions(life_s: float = 100.0, now: list[float] | None = None) -> Sessions:
    return Sessions((KEY,), life_s, (lambda: now[0]) if now else time.time)


def log_in(made: Sessions) -> str:
    body, headers = made.log_in("/auth/api_key/login", {"api_key": "k"})
    assert body["status"] == "success"
    return headers["Set-Cookie"].partition(";")[0]


def test_a_login_sets_a_cookie_with_its_end_and_names_the_account() -> None:
    now = [1_790_000_000.0]
    body, headers = sessions(86_400.0, now).log_in("/auth/api_key/login", {"api_key": "k"})
    assert body["sub_account_id"] == "9"
    assert headers["X-Grvt-Account-Id"] == KEY.main_account == body["funding_account_address"]
    expires = headers["Set-Cookie"].partition("Expires=")[2].partition(";")[0]
    ends = datetime.strptime(expires, "%a, %d %b %Y %H:%M:%S GMT")
    assert ends == datetime(2026, 9, 22, 14, 13, 20)


def test_a_wrong_key_is_an_answer_without_a_cookie() -> None:
    body, headers = sessions().log_in("/auth/api_key/login", {"api_key": "x"})
    assert body == {"error": "invalid api key", "status": "failure"}
    assert headers == {}


def test_a_cookie_is_good_until_its_time() -> None:
    now = [0.0]
    made = sessions(10.0, now)
    cookie = log_in(made)
    assert made.account_of(cookie) == "9"
    assert made.account_of(f"gravity=old; other=1; {cookie}") == "9"
    assert made.account_of("gravity=x") is made.account_of(None) is made.account_of("\xff;;=") is None
    now[0] = 10.5
    assert made.account_of(cookie) is None


def wallet_login(made: Sessions, nonce: int = 1, ahead_s: float = 60.0, **changes):
    expiration = time.time_ns() + int(ahead_s * 1e9)
    digest = flat_digest(325, WALLET_LOGIN_TYPE, (int(KEY.signer, 16), nonce, expiration))
    raw = make_signer(KEY.secret).sign_recoverable(digest, hasher=None)
    signature = {"signer": KEY.signer, "r": "0x" + raw[:32].hex(), "s": "0x" + raw[32:64].hex(), "v": 27 + raw[64],
                 "nonce": nonce, "expiration": str(expiration), "chain_id": "325", **changes}  # fmt: skip
    return made.log_in("/auth/wallet/login", {"address": KEY.signer, "signature": signature})[0]["status"]


def test_a_wallet_logs_in_once_with_each_nonce() -> None:
    made = sessions()
    assert wallet_login(made) == "success"
    assert wallet_login(made) == "failure"
    assert wallet_login(made, 2) == "success"
    assert wallet_login(made, 3, ahead_s=400.0) == "failure"
    assert wallet_login(made, 4, ahead_s=-1.0) == "failure"
    assert wallet_login(made, 5, chain_id="326") == "failure"
    assert wallet_login(made, 7, v=9) == "failure"


@pytest.mark.parametrize("vector", VECTORS["orders"], ids=lambda vector: vector["name"])
def test_every_published_signature_is_of_its_signer(vector) -> None:
    assert recovered(digest_of(vector), vector) == vector["signer"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"v": 0}, 2005),
        ({"v": 29}, 2005),
        ({"r": "0x12"}, 2006),
        ({"s": "0x" + "g" * 64}, 2006),
        ({"s": f"0x{HALF_ORDER + 1:064x}"}, 2007),
        ({"r": "0x" + "00" * 32}, 2002),
    ],
)
def test_a_malformed_signature_has_its_own_code(change, code: int) -> None:
    vector = VECTORS["orders"][0]
    with pytest.raises(VenueError) as refused:
        recovered(digest_of(vector), {**vector, **change})
    assert refused.value.code == code


async def test_private_calls_and_streams_need_the_cookie() -> None:
    async with logged_in() as client:
        client.headers = {}
        assert await client.post("v1/positions", sub_account_id=SUB) == (
            401, {"code": 1000, "message": "You need to authenticate prior to using this functionality", "status": 401},
        )  # fmt: skip
        async with client.socket() as socket:
            reply = await socket.call("subscribe", stream="v1.order", selectors=[SUB])
            assert reply["error"]["code"] == 1000
        await client.login()
        assert (await client.post("v1/positions", sub_account_id=SUB)) == (200, {"result": []})
        assert (await client.post("v1/positions", sub_account_id="7"))[1]["code"] == 1001
        assert (await client.post("v1/positions", sub_account_id="x"))[1]["code"] == 3020
        async with client.socket() as socket:
            assert (await socket.call("subscribe", stream="v1.order", selectors=["7"]))["error"]["code"] == 1001


async def test_a_fault_ends_all_cookies_and_a_login_helps() -> None:
    async with logged_in() as client:
        client.server.arm({"kind": "cookie_expired"})
        assert (await client.post("v1/positions", sub_account_id=SUB))[0] == 401
        await client.login()
        assert (await client.post("v1/positions", sub_account_id=SUB))[0] == 200
        assert client.server.truth()["logins"] == 2
        assert client.server.truth()["faults"]["cookie_expired"]["injected"] == 1
        assert DEMO_KEY.secret not in str(client.server.truth())
