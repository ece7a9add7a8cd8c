"""Contracts of the Deribit simulator: what their names make of them, and how the venue lists them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from exchanges.deribit.simulator import SimulatorOptions, listings_of, wallets_worth
from exchanges.deribit.simulator_instruments import NEVER_MS, chain, expiries, instrument_object, listing_for
from exchanges.simulator.errors import OrderRefused, SimulatorError

D = Decimal
NOW = int(datetime(2026, 12, 1, 12, tzinfo=UTC).timestamp() * 1000)


def listed(name: str) -> dict[str, object]:
    return instrument_object(listing_for(name, D("0"), D("0.0005")), "open")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "BTC-PERPETUAL",
            {"kind": "future", "instrument_type": "reversed", "settlement_currency": "BTC", "quote_currency": "USD"},
        ),
        (
            "ETH-25DEC26",
            {"kind": "future", "instrument_type": "reversed", "settlement_currency": "ETH", "price_index": "eth_usd"},
        ),
        (
            "BTC_USDC-PERPETUAL",
            {"kind": "future", "instrument_type": "linear", "settlement_currency": "USDC", "price_index": "btc_usdc"},
        ),
        (
            "BTC-25DEC26-90000-C",
            {"kind": "option", "instrument_type": "reversed", "settlement_currency": "BTC", "quote_currency": "BTC"},
        ),
        ("SHIB_USDC-PERPETUAL", {"kind": "future", "instrument_type": "linear", "base_currency": "SHIB"}),
    ],
)
def test_a_name_makes_its_contract(name: str, expected: dict[str, object]) -> None:
    row = listed(name)
    assert row["instrument_name"] == name
    assert {key: row[key] for key in expected} == expected
    assert row["is_active"] is True and row["state"] == "open"
    perpetual = name.endswith("PERPETUAL")
    assert (row["settlement_period"] == "perpetual") == perpetual
    assert (row["expiration_timestamp"] == NEVER_MS) == perpetual
    if not perpetual:
        assert row["expiration_timestamp"] == int(datetime(2026, 12, 25, 8, tzinfo=UTC).timestamp() * 1000)


def test_an_option_has_strike_type_and_tick_steps_that_bound_its_prices() -> None:
    row = listed("BTC-25DEC26-90000-P")
    assert (row["strike"], row["option_type"]) == (90000, "put")
    assert row["tick_size_steps"] == [{"above_price": D("0.005"), "tick_size": D("0.0005")}]
    instrument = listing_for("BTC-25DEC26-90000-P", D(0), D(0)).instrument
    for price in ("0.0001", "0.0049", "0.005", "0.0105"):
        instrument.check_price(D(price))
    for price in ("0.0051", "0.01005", "0.00015"):
        with pytest.raises(OrderRefused):
            instrument.check_price(D(price))


@pytest.mark.parametrize(
    "name",
    ["", "BTC", "BTCUSDT", "DOGE-PERPETUAL", "BTC-31FEB26", "BTC-25XXX26", "BTC_USDC-25DEC26-90000-C", "BTC-25DEC26-C"],
)
def test_a_name_of_no_contract_is_said_in_a_sentence(name: str) -> None:
    with pytest.raises(SimulatorError, match=r"^symbol "):
        listing_for(name, D(0), D(0))


def test_the_chain_is_two_fridays_with_strikes_around_the_price() -> None:
    assert expiries(NOW, 2) == ["4DEC26", "11DEC26"]
    assert expiries(NOW + 24 * 3600 * 1000, 1) == ["11DEC26"], "one that ends in two days is no longer begun with"
    names = chain("BTC", NOW, 2)
    assert len(names) == 2 * (1 + 2 * 5) and names[0] == "BTC-4DEC26"
    assert all(listing_for(name, D(0), D(0)).expiry_ms > NOW for name in names)
    assert len({listing_for(name, D(0), D(0)).instrument_id for name in names}) == len(names)


def test_dated_names_bring_their_perpetual_and_those_that_are_over_are_refused() -> None:
    perpetuals, followers = listings_of(SimulatorOptions(symbols=("ETH-25DEC26",)), NOW)
    assert [one.name for one in perpetuals] == ["ETH-PERPETUAL"]
    assert [one.name for one in followers] == ["ETH-25DEC26"]
    with pytest.raises(SimulatorError, match="its expiry is over"):
        listings_of(SimulatorOptions(symbols=("ETH-27NOV26",)), NOW)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"host": "10.0.0.1"}, "loopback only"),
        ({"wallets": {"DOGE": "1"}}, "found 'DOGE'"),
        ({"wallets": {"BTC": "much"}}, "expected a decimal number"),
        ({"wallets": {"BTC": "-1"}}, "expected a decimal number"),
        ({"taker_fee": "x"}, "expected a decimal number"),
        ({"speed": float("inf")}, "has no end"),
        ({"speed": 0}, "above 0"),
    ],
)
def test_a_wrong_option_is_said_in_a_sentence(options: dict[str, object], words: str) -> None:
    with pytest.raises(SimulatorError, match=words):
        SimulatorOptions(**options)  # type: ignore[arg-type]


def test_wallets_are_worth_what_was_asked_for() -> None:
    assert wallets_worth("100000") == {"USDC": "100000", "BTC": "2", "ETH": "37"}
    assert wallets_worth("10")["BTC"] == "1"
