"""What the Deribit simulator does to the money by itself: funding, settlement, expiry."""

from __future__ import annotations

from decimal import Decimal

import aiohttp
import pytest

from exchanges.deribit.simulator import SimulatorOptions, serve
from exchanges.deribit.simulator_instruments import listing_for
from exchanges.deribit.simulator_settlement import delivery_price, funding_rate, next_settlement_ms
from tests.exchanges.deribit.simulator_client import FIRST_ID, MARKET_MS, PERPETUAL, Place, mark_tick, top, venue

D = Decimal
HOUR_MS = 3600 * 1000
OPTION = "BTC-25DEC37-200000-C"


@pytest.mark.parametrize(
    ("mark", "rate"),
    [("60000", "0"), ("60015", "0"), ("59985", "0"), ("60060", "0.00075"), ("59940", "-0.00075")],
)
def test_funding_is_what_the_premium_has_beyond_the_damper(mark: str, rate: str) -> None:
    assert funding_rate(D(mark), D(60000)) == D(rate)


def test_delivery_is_the_index_or_the_payoff_in_coins() -> None:
    for name, price in (("BTC-25DEC26", "50000"), ("BTC-25DEC26-40000-C", "0.2"), ("BTC-25DEC26-40000-P", "0")):
        assert delivery_price(listing_for(name, D(0), D(0)), D(50000)) == D(price)
    assert delivery_price(listing_for("BTC-25DEC26-60000-P", D(0), D(0)), D(50000)) == D("0.2")


def test_settlements_are_at_eight() -> None:
    day = 1_767_225_600_000
    assert next_settlement_ms(day) == day + 8 * HOUR_MS
    assert next_settlement_ms(day + 8 * HOUR_MS) == day + 32 * HOUR_MS


async def test_longs_pay_shorts_while_the_mark_is_above_the_index_and_fractions_are_carried() -> None:
    async with venue(funding=True) as place:
        user = await place.user()
        await user.buy(900)
        wallet = place.server.exchange.accounts["demo:BTC"]
        before = wallet.wallet
        place.server.deliver(mark_tick(MARKET_MS))
        expected = D(0)
        for second in range(1, 60):
            price = 61000 + 100 * second  # the index follows a rising mark and stays behind
            place.server.deliver(top(f"{price}", "9", f"{price}.5", "9", FIRST_ID + second))
            place.server.deliver(mark_tick(MARKET_MS + second * 1000))
            mark, index = place.server.venue.mark(PERPETUAL), place.server.venue.indices["btc_usd"]
            expected -= 900 / mark * funding_rate(mark, index) * 1000 / (8 * HOUR_MS)
        assert expected < D("-5e-8"), "more than the fractions that are carried"
        assert abs(wallet.funding - expected) < D("1.1e-8")
        assert wallet.wallet - before == wallet.funding
        position = await user.ask("private/get_position", instrument_name=PERPETUAL)
        assert D(str(position["realized_funding"])) == wallet.funding
        assert position["interest_value"] > 0
        assert (await place.truth())["positions"][PERPETUAL]["funding"] == f"{wallet.funding:f}"


async def test_a_settlement_moves_results_to_the_balance_and_leaves_the_equity() -> None:
    async with venue() as place:
        place.stop_clock()
        user = await place.user()
        await user.buy(900)
        await user.sell(300)
        place.server.deliver(top("61500", "5000", "61500.5", "900", FIRST_ID + 1))
        place.server.deliver(mark_tick())
        before = await user.ask("private/get_account_summary", currency="BTC")
        assert before["session_rpl"] < 0 < before["session_upl"]
        await place.fault(kind="settlement", delay_ms=1)
        after = await user.ask("private/get_account_summary", currency="BTC")
        assert (after["session_rpl"], after["session_upl"]) == (0, 0)
        assert after["equity"] == before["equity"]
        moved = D(str(before["session_rpl"])) + D(str(before["session_upl"]))
        assert D(str(after["balance"])) == D(str(before["balance"])) + moved
        place.pass_time(5)
        result = await user.sell(600)
        assert result["order"]["order_state"] == "filled"
        closed = await user.ask("private/get_account_summary", currency="BTC")
        position = await user.ask("private/get_position", instrument_name=PERPETUAL)
        assert position["realized_profit_loss"] == closed["session_rpl"], "since the settlement"


async def test_an_option_costs_its_premium_at_once_and_its_value_stands_beside() -> None:
    async with venue((PERPETUAL, OPTION)) as place:
        user = await place.user()
        fill = (await user.buy(2, 0.042, instrument_name=OPTION))["trades"][0]
        assert (fill["price"], fill["fee"], fill["fee_currency"]) == (0.042, 0.0006, "BTC")
        assert fill["iv"] > 0 and fill["underlying_price"] > 61000
        money = await user.ask("private/get_account_summary", currency="BTC")
        assert money["balance"] == pytest.approx(10 - 0.0006 - 2 * 0.042)
        mark = (await user.ask("public/ticker", instrument_name=OPTION))["mark_price"]
        assert money["options_value"] == pytest.approx(2 * mark)
        position = await user.ask("private/get_position", instrument_name=OPTION)
        assert (position["size"], position["average_price"], position["kind"]) == (2, 0.042, "option")
        assert 0 < position["delta"] < 2 and money["options_delta"] == pytest.approx(position["delta"], abs=1e-4)


async def test_an_expired_contract_pays_out_and_leaves_the_market() -> None:
    options = SimulatorOptions(symbols=(PERPETUAL,), chain=True, seed=2, enforce_limits=False, numbers="plain")
    async with await serve(options) as server, aiohttp.ClientSession() as session:
        place = Place(server, session)
        try:
            name = next(name for name in server.venue.markets if name.endswith(("-56000-C", "-58000-C")))
            user = await place.user("instrument.state.option.BTC", "user.orders.any.any.raw")
            bought = await user.buy(1, instrument_name=name)
            assert bought["order"]["filled_amount"] == 1
            resting = (await user.buy(1, 0.0005, instrument_name=name))["order"]
            await user.settled()
            user.notes.clear()
            server.command_flow({"action": "pause"})
            wallet = server.exchange.accounts["demo:BTC"]
            paid, before = wallet.position(name).cost, wallet.wallet
            answer = await place.admin("POST", "/admin/instruments", {"action": "expire", "instrument_name": name})
            assert answer[1] == {"instrument_name": name, "state": "delivered"}
            payoff = delivery_price(server.venue.listing(name), server.venue.indices["btc_usd"])
            assert payoff > 0 and wallet.wallet - before == payoff - paid
            assert (await user.note("instrument.state.option.BTC"))["state"] == "closed"
            ended = await user.note("user.orders.any.any.raw")
            assert (ended["order_id"], ended["cancel_reason"]) == (resting["order_id"], "settlement")
            expired = await user.ask("public/get_instruments", currency="BTC", expired=True)
            assert [(row["instrument_name"], row["is_active"]) for row in expired] == [(name, False)]
            assert await user.refused("private/buy", instrument_name=name, amount=1, price=0.01) == 10012
            ticker = await user.ask("public/ticker", instrument_name=name)
            assert ticker["delivery_price"] == pytest.approx(float(payoff))
            again = {"action": "list", "instrument_name": name.replace("-5", "-7")}
            assert (await place.admin("POST", "/admin/instruments", again))[1]["state"] == "open"
            states = [(await user.note("instrument.state.option.BTC"))["state"] for _ in range(2)]
            assert states == ["created", "started"]
        finally:
            await place.close()
