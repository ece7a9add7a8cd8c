"""One login: what is asked for, what was granted, when it must be refreshed."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from exchanges.deribit.auth import RequestSigner
from exchanges.deribit.session import LONGEST_S, LoginFailed, Session


def session(scopes: str = "account:read_write trade:read_write") -> Session:
    signer = RequestSigner(SimpleNamespace(api_key="key", secret="secret"))
    return Session(signer, lambda: 1_767_000_000_000, "corelane-1-orders", scopes)


def answer(**changes: Any) -> bytes:
    scope = "account:read_write mainaccount session:corelane-1-orders trade:read_write"
    values = {"access_token": "a", "refresh_token": "r", "expires_in": 900, "scope": scope, "token_type": "bearer"}
    return json.dumps(values | changes).encode()


def test_a_login_asks_for_a_named_session_and_what_it_needs() -> None:
    login = session().login()
    assert login["scope"] == "session:corelane-1-orders account:read_write trade:read_write"
    assert (login["grant_type"], login["timestamp"]) == ("client_signature", 1_767_000_000_000)


@pytest.mark.parametrize(("expires_in", "refresh_in_s"), [(900, 720.0), (31_536_000, LONGEST_S), (0.5, 1.0)])
def test_the_refresh_follows_what_the_venue_says_of_the_lifetime(expires_in: float, refresh_in_s: float) -> None:
    one = session()
    one.granted(answer(expires_in=expires_in))
    assert one.refresh_in_s == pytest.approx(refresh_in_s)
    assert one.refresh() == {"grant_type": "refresh_token", "refresh_token": "r"}


def test_a_scope_that_was_narrowed_is_noticed() -> None:
    with pytest.raises(
        LoginFailed, match="lacks the scope trade:read_write: it was granted 'account:read_write trade:read'"
    ):
        session().granted(answer(scope="account:read_write trade:read"))
    session("account:read trade:read").granted(answer())  # more than was needed is well


@pytest.mark.parametrize("result", [b"", b"{}", b"[]", b'{"access_token":1}'])
def test_an_answer_of_another_shape_is_said(result: bytes) -> None:
    with pytest.raises(LoginFailed, match="another shape"):
        session().granted(result)
