"""Venue packages mirror each other: the same modules, the same classes, their methods in the same order.

A difference between venues is then a real difference, and `diff -r` shows it. The few that there are stand below, each
with the venues that have it and its reason; one that is no more has to go from the lists.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent / "exchanges"
B, D, G = "binance", "deribit", "grvt"
VENUES = (B, D, G)
PREFIXES = {B: "Binance", D: "Deribit", G: "Grvt"}

MODULES: dict[str, tuple[set[str], str]] = {
    "user_stream": ({B, G}, "Deribit's private channels come over the connection that carries its orders"),
    "session": ({D, G}, "Binance signs each request, or logs a socket on: it has no login that must be renewed"),
    "book_refresh": ({B}, "the books of the others are whole, and any can be asked for anew on the stream"),
    "market_sockets": ({B}, "the others take hundreds of channels on one connection"),
    "account_settings": ({B}, "the others have no margin or asset mode to compare with the configuration"),
    "account_codec": ({G}, "its market server and its position server need no signer"),
    "legs": ({G}, "it has no amend: a replaced order is several of the venue's"),
    "replacement": ({G}, "it has no amend: a cancel and a new order, one after the other"),
    "nonces": ({G}, "its orders carry numbers that never come twice"),
    "fast_encode": ({B, D}, "GRVT's orders are hashed and signed field by field, which takes longer than all wording"),
    "quote_sequencer": ({G}, "its best quotes come as changes"),
    "rest": ({G}, "its refusals are bodies of their own, and everything is a POST"),
    "typed_data": ({G}, "it signs EIP-712"),
}
CLASSES: dict[str, tuple[set[str], str]] = {
    "auth.Signer": ({B}, "two kinds of key; the others sign with one"),
    "auth.Ed25519Signer": ({B}, "the others have no such keys"),
    "auth.Signature": ({G}, "three parts, as its orders carry them"),
    "data_fetcher.RateLimited": ({B}, "the others name no time to wait"),
    "account_fetcher.TimestampRefused": ({B}, "the others' timestamps are good for long, or not sent"),
    "instruments.SigningTerms": ({G}, "how an instrument stands in a signature"),
    "session.AuthResult": ({D}, "a token; GRVT's is a cookie"),
    "session.LoginFailed": ({D}, "over the socket; GRVT's login is a REST call like any other"),
    "session.LoginReply": ({G}, "the body beside the cookie"),
    "subscriber.StreamRefused": ({D}, "the others' refusals are replies to a subscription, or none"),
}
SHAPES = ("messages", "order_messages")
"""Modules of wire shapes: they differ by nature."""
METHODS: dict[str, tuple[set[str], str]] = {
    "auth.RequestSigner.sign": ({B}, "its encoder words what is signed"),
    "auth.RequestSigner.signed_query": ({B}, "Binance signs queries"),
    "auth.RequestSigner.signed_parameters": ({B}, "and parameters of its WebSocket API"),
    "auth.RequestSigner.logs_on": ({B}, "which of its keys can log a socket on"),
    "auth.RequestSigner.login": ({D}, "Deribit logs connections in"),
    "auth.RequestSigner.login_with_signature": ({D}, "Deribit logs connections in"),
    "auth.RequestSigner.login_with_secret": ({D}, "Deribit logs connections in"),
    "auth.RequestSigner.headers": ({D}, "Deribit signs HTTP by a header"),
    "auth.RequestSigner.sign_order": ({G}, "GRVT signs orders"),
    "auth.RequestSigner.sign_digest": ({G}, "GRVT signs orders"),
    "codec.MarketCodec.decode_snapshot": ({B, D}, "GRVT's books come over its stream alone"),
    "codec.MarketCodec.decode_ticker": ({D}, "its ticker over HTTP is that of the channel"),
    "data_fetcher.DataFetcher.depth": ({B}, "named as Binance names it; Deribit: order_book"),
    "data_fetcher.DataFetcher.exchange_info": ({B}, "named as Binance names it; the others: all_instruments"),
    "data_fetcher.DataFetcher.premium_index": ({B}, "named as Binance names it; Deribit: ticker"),
    "data_fetcher.DataFetcher.all_instruments": ({D, G}, "named as they name it"),
    "data_fetcher.DataFetcher.order_book": ({D}, "named as Deribit names it"),
    "data_fetcher.DataFetcher.ticker": ({D}, "named as Deribit names it"),
    "data_fetcher.DataFetcher.signing_terms": ({G}, "how instruments stand in signatures"),
    "endpoints.Endpoints.public": ({B, D}, "GRVT's socket has one URL, and selectors beside it"),
    "endpoints.Endpoints.market": ({B}, "two routes of streams"),
    "endpoints.Endpoints.private": ({B}, "a socket of its own for the user stream, with its key in the URL"),
    "endpoints.Endpoints.order_socket": ({B, D}, "a field at GRVT"),
    "endpoints.Endpoints.lite": ({G}, "short keys"),
    "fast_decode.FrameScanner.quotes": ({G}, "its best quotes come as changes"),
    "fast_decode.RareFrames.on_applied": ({B}, "its far levels are filled in from snapshots: book_refresh"),
    "fast_decode.RareFrames.on_quote_gap": ({G}, "its best quotes come as changes"),
    "emergency.Emergency.acceptance_ns": ({G}, "a create that may rest has no bound of its own there"),
    "emergency.Emergency.cancel_together": ({G}, "one call for the orders of ours among foreign ones"),
    "oms.OMS.cancel": ({G}, "ends a replacement under way"),
    "oms.OMS.replace": ({G}, "it has no amend"),
    "oms.OMS.forbid": ({G}, "a create that may rest has no bound of its own there"),
    "sequencer.BookSequencer.buffered": ({B}, "its snapshots come over REST, so changes wait for them"),
    "sequencer.BookSequencer.begins_at": ({G}, "the reply to a subscription names the first number"),
    "session.Session.login": ({D}, "asked over the socket"),
    "session.Session.refresh": ({D}, "a token can be refreshed"),
    "session.Session.granted": ({D}, "the socket asks, the session learns"),
    "session.Session.headers": ({G}, "a cookie, shown with every call"),
    "session.Session.good": ({G}, "a cookie that may have ended"),
    "session.Session.ensure": ({G}, "logs in by itself, over REST"),
    "session.Session.lost": ({G}, "logs in by itself, over REST"),
    "session.Session.log_in": ({G}, "logs in by itself, over REST"),
    "session.Session.run": ({G}, "logs in by itself, over REST"),
    "subscriber.Subscriber.on_applied": ({B}, "its far levels are filled in from snapshots: book_refresh"),
    "subscriber.Subscriber.on_quote_gap": ({G}, "its best quotes come as changes"),
    "user_stream.UserStream.extend_now": ({B}, "a listen key ends unless it is extended"),
    "user_stream.UserStream.run": ({B}, "a listen key ends unless it is extended"),
    "user_stream.UserStream.up": ({G}, "its subscriptions have to be agreed to"),
}
LOOSE = ("account_fetcher", "order_codec", "order_socket", "order_budget", "order_connection")
"""Where each venue has requests and replies of its own: what all have stands in the same order, and no more."""


def modules(venue: str) -> dict[str, Path]:
    """Without the simulator, which is the venue's own side; a compiled module by its stub."""
    found = {path.stem: path for path in (ROOT / venue).glob("*.py")}
    found |= {path.stem: path for path in (ROOT / venue).glob("*.pyi")}
    return {name: path for name, path in found.items() if not name.startswith("simulator") and name != "__init__"}


def classes(venue: str, module: str) -> dict[str, list[str]]:
    """Class, without the venue's prefix -> its public methods in their order."""
    prefix = PREFIXES[venue]
    return {
        node.name.removeprefix(prefix): [
            item.name
            for item in node.body
            if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and not item.name.startswith("_")
        ]
        for node in ast.parse(modules(venue)[module].read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    }


ALL = sorted(set().union(*(modules(venue) for venue in VENUES)))
SHARED = [name for name in ALL if name not in SHAPES and sum(name in modules(venue) for venue in VENUES) > 1]


def differences(having: dict[str, set[str]], among: Iterable[str]) -> dict[str, set[str]]:
    """Of name -> venues that have it: those that not all of `among` have."""
    return {name: venues for name, venues in having.items() if venues != set(among)}


def known(table: dict[str, tuple[set[str], str]], prefix: str) -> dict[str, set[str]]:
    return {name: venues for name, (venues, _) in table.items() if name.startswith(prefix)}


def test_all_have_the_same_modules_but_for_those_that_say_why() -> None:
    having = {name: {venue for venue in VENUES if name in modules(venue)} for name in ALL}
    assert differences(having, VENUES) == known(MODULES, "")


@pytest.mark.parametrize("module", SHARED)
def test_they_have_the_same_classes(module: str) -> None:
    found = {venue: classes(venue, module) for venue in VENUES if module in modules(venue)}
    having = {
        f"{module}.{name}": {venue for venue in found if name in found[venue]} for name in set().union(*found.values())
    }
    assert differences(having, found) == known(CLASSES, f"{module}.")


@pytest.mark.parametrize("module", SHARED)
def test_their_methods_are_the_same_and_stand_in_the_same_order(module: str) -> None:
    found = {venue: classes(venue, module) for venue in VENUES if module in modules(venue)}
    having: dict[str, set[str]] = {}
    for name in sorted(set().union(*found.values())):
        mine = {venue: methods[name] for venue, methods in found.items() if name in methods}
        for one, other in combinations(mine, 2):
            common = set(mine[one]) & set(mine[other])
            assert [m for m in mine[one] if m in common] == [m for m in mine[other] if m in common], (name, one, other)
            assert common or module not in LOOSE, name
        if len(mine) > 1 and module not in LOOSE:
            every = {
                f"{module}.{name}.{method}": {venue for venue in mine if method in mine[venue]}
                for method in set().union(*mine.values())
            }
            having |= differences(every, mine)
    assert having == known(METHODS, f"{module}.")
