"""Venue packages mirror each other: the same modules, the same classes, their methods in the same order.

A difference between venues is then a real difference, and `diff -r` shows it. The few that there are stand below, each
with its reason; one that is no more has to go from the lists.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent / "exchanges"
FIRST, SECOND = "binance", "deribit"
PREFIXES = {FIRST: "Binance", SECOND: "Deribit"}

MODULES_OF_ONE = {
    FIRST: {
        "user_stream": "Deribit's private channels come over the connection that carries its orders: order_socket",
        "book_refresh": "Deribit's books are whole, and any can be asked for anew on the stream",
        "market_sockets": "Deribit takes hundreds of channels on one connection",
        "account_settings": "Deribit has no leverage, margin or asset mode to compare with the configuration",
    },
    SECOND: {
        "session": "Binance signs each request, or logs a socket on: it has no token that must be refreshed",
    },
}
CLASSES_OF_ONE: dict[str, dict[str, str]] = {
    FIRST: {
        "auth.Signer": "two kinds of key; Deribit signs with one",
        "auth.HmacSigner": "Deribit's is exchanges/hmac_signer.py",
        "auth.Ed25519Signer": "Deribit has no such keys",
        "data_fetcher.RateLimited": "Deribit names no time to wait",
        "account_fetcher.TimestampRefused": "Deribit's timestamps are good for a minute",
    },
    SECOND: {
        "subscriber.StreamRefused": "Binance subscribes by URL, so nothing is refused on its stream",
    },
}
SHAPES = ("messages", "order_messages")
"""Modules of wire shapes: they differ by nature."""
METHODS_OF_ONE: dict[str, dict[str, str]] = {
    FIRST: {
        "auth.RequestSigner.signed_query": "Binance signs queries",
        "auth.RequestSigner.signed_parameters": "and parameters of its WebSocket API",
        "auth.RequestSigner.logs_on": "which of its keys can log a socket on",
        "fast_decode.RareFrames.on_applied": "its far levels are filled in from snapshots: book_refresh",
        "subscriber.BinanceSubscriber.on_applied": "the same",
        "sequencer.BookSequencer.buffered": "its snapshots come over REST, so changes wait for them",
        "endpoints.Endpoints.market": "two routes of streams",
        "endpoints.Endpoints.private": "a socket of its own for the user stream",
        "data_fetcher.BinanceDataFetcher.depth": "named as Binance names it; Deribit: order_book",
        "data_fetcher.BinanceDataFetcher.exchange_info": "named as Binance names it; Deribit: all_instruments",
        "data_fetcher.BinanceDataFetcher.premium_index": "named as Binance names it; Deribit: ticker",
    },
    SECOND: {
        "auth.RequestSigner.login": "Deribit logs connections in",
        "auth.RequestSigner.login_with_secret": "Deribit logs connections in",
        "auth.RequestSigner.headers": "Deribit signs HTTP by a header",
        "codec.MarketCodec.decode_ticker": "its ticker over HTTP is that of the channel",
        "data_fetcher.DeribitDataFetcher.all_instruments": "named as Deribit names it",
        "data_fetcher.DeribitDataFetcher.order_book": "named as Deribit names it",
        "data_fetcher.DeribitDataFetcher.ticker": "named as Deribit names it",
    },
}
LOOSE = ("account_fetcher", "order_codec", "order_socket", "order_budget", "order_connection")
"""Where each venue has requests and replies of its own: what both have stands in the same order, and no more."""


def modules(venue: str) -> dict[str, Path]:
    """Without the simulator, which is the venue's own side; a compiled module by its stub."""
    found = {path.stem: path for path in (ROOT / venue).glob("*.py")}
    found |= {path.stem: path for path in (ROOT / venue).glob("*.pyi")}
    return {name: path for name, path in found.items() if not name.startswith("simulator") and name != "__init__"}


def classes(venue: str, path: Path) -> dict[str, list[str]]:
    """Class, without the venue's prefix -> its public methods in their order."""
    prefix = PREFIXES[venue]
    return {
        node.name.removeprefix(prefix): [
            item.name
            for item in node.body
            if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and not item.name.startswith("_")
        ]
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    }


BOTH = sorted(modules(FIRST).keys() & modules(SECOND).keys())


def test_both_have_the_same_modules_but_for_those_that_say_why() -> None:
    for venue, other in ((FIRST, SECOND), (SECOND, FIRST)):
        assert modules(venue).keys() - modules(other).keys() == set(MODULES_OF_ONE[venue]), venue


@pytest.mark.parametrize("module", [name for name in BOTH if name not in SHAPES])
def test_both_have_the_same_classes(module: str) -> None:
    found = {venue: classes(venue, modules(venue)[module]) for venue in (FIRST, SECOND)}
    for venue, other in ((FIRST, SECOND), (SECOND, FIRST)):
        only = {f"{module}.{name}" for name in found[venue].keys() - found[other].keys()}
        assert only == {name for name in CLASSES_OF_ONE[venue] if name.startswith(f"{module}.")}, venue


@pytest.mark.parametrize("module", [name for name in BOTH if name not in SHAPES])
def test_their_methods_stand_in_the_same_order(module: str) -> None:
    first, second = (classes(venue, modules(venue)[module]) for venue in (FIRST, SECOND))
    for name in first.keys() & second.keys():
        common = set(first[name]) & set(second[name])
        assert [one for one in first[name] if one in common] == [one for one in second[name] if one in common], name
        if module in LOOSE:
            assert common, name
            continue
        for venue, here, there in ((FIRST, first[name], second[name]), (SECOND, second[name], first[name])):
            full = name if f"{module}.{name}" not in _prefixed(venue, module) else PREFIXES[venue] + name
            only = {f"{module}.{full}.{method}" for method in here if method not in there}
            known = {one for one in METHODS_OF_ONE[venue] if one.startswith(f"{module}.{full}.")}
            assert only == known, venue


def _prefixed(venue: str, module: str) -> set[str]:
    """Classes of the module that carry the venue's name."""
    text = modules(venue)[module].read_text(encoding="utf-8")
    return {
        f"{module}.{node.name.removeprefix(PREFIXES[venue])}"
        for node in ast.parse(text).body
        if isinstance(node, ast.ClassDef) and node.name.startswith(PREFIXES[venue])
    }
