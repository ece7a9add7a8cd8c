"""Whatever a client sends is answered in the venue's words, and nothing that the simulator serves goes wrong."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest

from exchanges.deribit.simulator_calls import ENDPOINTS
from exchanges.deribit.simulator_errors import MESSAGES, VenueError
from exchanges.deribit.simulator_parameters import Parameters
from tests.exchanges.deribit.simulator_client import PERPETUAL, venue

WORDS = (
    "instrument_name amount contracts price type label time_in_force post_only reject_post_only reduce_only "
    "valid_until order_id currency kind count sorting start_seq end_seq start_id start_timestamp end_timestamp depth "
    "channels scope interval index_name grant_type client_id client_secret timestamp nonce data signature "
    "refresh_token detailed currency_pair expired extended offset include_old include_unfilled"
)
NAMES = WORDS.split(" ")
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 10, 1 << 70, 0.1, 1e300, -0.0, 60900, 60900.5, "", "x", "10", "any", "BTC", "ETH-1"),
    *("limit", "market", "asc", PERPETUAL, "BTC-25DEC37-200000-C", "btc_usd", "1", "connection", [], ["x"]),
    *([1], {}, {"a": 1}, [f"book.{PERPETUAL}.raw"], "good_til_day", "client_credentials", "refresh_token"),
)
REQUESTS = 600
ORDERS = [endpoint for endpoint in ENDPOINTS if endpoint.method in ("private/buy", "private/sell")]
SENSIBLE: dict[str, Any] = {"instrument_name": PERPETUAL, "currency": "BTC", "amount": 10, "price": 60900, "label": "x"}


@pytest.mark.parametrize("seed", [1, 2])
async def test_any_parameters_of_any_method_get_an_answer_and_break_nothing(seed: int) -> None:
    chance = random.Random(seed)
    async with venue(numbers="mixed") as place:
        user = await place.user()
        codes = set()
        for _ in range(REQUESTS):
            method = chance.choice(ENDPOINTS if chance.random() < 0.6 else ORDERS).method
            if method == "private/logout":
                continue
            params = SENSIBLE if chance.random() < 0.7 else {}
            params = params | {name: chance.choice(VALUES) for name in chance.sample(NAMES, chance.randint(0, 3))}
            answer = await user.call(method, **params)
            if "error" in answer:
                codes.add(answer["error"]["code"])
        assert codes <= MESSAGES.keys() - {11094} and len(codes) > 5
        assert (await place.admin("GET", "/admin/health"))[1]["ok"] is True
        truth = await place.truth()
        assert Decimal(truth["currencies"]["BTC"]["wallet_balance"]) <= 10


@pytest.mark.parametrize("value", ["1", 1.5, True, None, [], {}])
def test_an_integer_is_one(value: Any) -> None:
    with pytest.raises(VenueError) as refused:
        Parameters({"n": value}).integer("n")
    assert refused.value.body == {
        "code": -32602,
        "message": "Invalid params",
        "data": {"reason": "invalid format", "param": "n"},
    }


def test_a_query_is_text_and_read_as_asked() -> None:
    query = Parameters({"n": "-7", "d": "0.10", "yes": "true", "word": "7"}, textual=True)
    assert (query.integer("n"), query.decimal("d"), query.boolean("yes"), query.text("word")) == (
        -7,
        Decimal("0.10"),
        True,
        "7",
    )
    for name, read in (("d", query.integer), ("word", query.boolean), ("yes", query.decimal), ("none", query.text)):
        with pytest.raises(VenueError):
            read(name)


@pytest.mark.parametrize("text", ["nan", "inf", "1e999", "9" * 31, "1" + "0" * 40])
def test_a_number_that_decimal_would_choke_on_is_refused(text: str) -> None:
    with pytest.raises(VenueError):
        Parameters({"d": text}, textual=True).decimal("d")
