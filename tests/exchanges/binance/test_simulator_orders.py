"""Order and account calls of the Binance simulator over its REST port: shapes, filters, refusals, limits."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from typing import Any

import pytest

from exchanges.binance.simulator import ApiKey
from tests.exchanges.binance.simulator_client import receive, receive_many, stop_clock, top, trade, until, venue

ORDER_KEYS = [
    "orderId",
    "symbol",
    "status",
    "clientOrderId",
    "price",
    "origQty",
    "executedQty",
    "cumQty",
    "timeInForce",
    "type",
    "reduceOnly",
    "closePosition",
    "side",
    "positionSide",
    "stopPrice",
    "workingType",
    "priceProtect",
    "origType",
    "priceMatch",
    "selfTradePreventionMode",
    "goodTillDate",
    "updateTime",
]


async def test_an_order_is_placed_queried_amended_and_canceled_in_the_documented_shape() -> None:
    async with venue() as (_, client):
        status, reply = await client.order("BUY", "0.010", "61799.50", newClientOrderId="abc-1")
        assert (status, list(reply)) == (200, ORDER_KEYS)
        assert (reply["status"], reply["price"], reply["origQty"]) == ("NEW", "61799.50", "0.010")
        assert {"X-MBX-ORDER-COUNT-10S", "X-MBX-ORDER-COUNT-1M", "X-MBX-USED-WEIGHT-1M"} <= set(client.headers)
        by_name = {"symbol": "BTCUSDT", "origClientOrderId": "abc-1"}
        status, found = await client.call("GET", "/fapi/v1/order", **by_name)
        assert (status, found["orderId"], found["avgPrice"], found["cumQuote"]) == (
            200,
            reply["orderId"],
            "0.00000",
            "0.00000",
        )
        status, amended = await client.call(
            "PUT", "/fapi/v1/order", side="BUY", quantity="0.020", price="61799.60", modifyId=7, **by_name
        )
        assert (status, amended["price"], amended["origQty"], amended["modifyId"]) == (200, "61799.60", "0.020", 7)
        assert list(amended)[:5] == ["orderId", "symbol", "pair", "status", "clientOrderId"]
        status, canceled = await client.call("DELETE", "/fapi/v1/order", symbol="BTCUSDT", orderId=reply["orderId"])
        assert (status, canceled["status"]) == (200, "CANCELED")
        assert await client.call("DELETE", "/fapi/v1/order", **by_name) == (
            400,
            {"code": -2011, "msg": "Unknown order sent."},
        )
        assert (await client.call("GET", "/fapi/v1/openOrder", **by_name))[1]["code"] == -2013


async def test_parameters_may_come_in_the_body() -> None:
    async with venue() as (_, client):
        status, reply = await client.order("BUY", "0.010", "61799.50", in_body=True)
        assert (status, reply["status"]) == (200, "NEW")


async def test_the_old_reply_schema_has_average_and_quote_in_their_places() -> None:
    async with venue(reply_schema="2025") as (_, client):
        _, reply = await client.order("BUY", "0.010", "61799.50")
        keys = list(reply)
        assert keys[keys.index("price") + 1] == "avgPrice"
        assert keys[keys.index("cumQty") + 1] == "cumQuote"


@pytest.mark.parametrize(
    ("more", "status", "filled"),
    [
        ({}, "NEW", "0.000"),
        ({"newOrderRespType": "RESULT"}, "FILLED", "0.010"),
        ({"newOrderRespType": "ACK"}, "NEW", "0.000"),
    ],
)
async def test_a_market_order_is_acknowledged_as_new_unless_its_result_is_asked(
    more: dict[str, str], status: str, filled: str
) -> None:
    async with venue() as (_, client):
        _, reply = await client.order("BUY", "0.010", **more)
        assert (reply["status"], reply["executedQty"]) == (status, filled)
        _, found = await client.call("GET", "/fapi/v1/order", symbol="BTCUSDT", orderId=reply["orderId"])
        assert (found["status"], found["avgPrice"], found["cumQuote"]) == ("FILLED", "61800.10000", "618.00100")


LIMIT: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.010",
    "price": "61799.50",
}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"symbol": None}, -1102),
        ({"symbol": "NOPEUSDT"}, -1121),
        ({"side": "HOLD"}, -1117),
        ({"side": None}, -1102),
        ({"type": "ICEBERG"}, -1116),
        ({"type": "STOP_MARKET"}, -4120),
        ({"timeInForce": "GFD"}, -1115),
        ({"timeInForce": None}, -1102),
        ({"quantity": None}, -1102),
        ({"quantity": "lots"}, -1102),
        ({"quantity": "NaN"}, -1102),
        ({"quantity": "1e400"}, -4005),
        ({"price": None}, -1102),
        ({"price": "Infinity"}, -1102),
        ({"price": "61799.55"}, -4014),
        ({"price": "61799.555"}, -1111),
        ({"price": "0"}, -4001),
        ({"price": "1"}, -4013),
        ({"price": "900000"}, -4002),
        ({"price": "64891"}, -4016),
        ({"price": "58700", "side": "SELL"}, -4024),
        ({"quantity": "0.0005"}, -1111),
        ({"quantity": "0"}, -4003),
        ({"quantity": "1001"}, -4005),
        ({"quantity": "0.000"}, -4003),
        ({"price": "61799.50", "quantity": "0.001"}, None),
        ({"price": "49000", "quantity": "0.001"}, -4164),
        ({"price": "61800.10", "timeInForce": "GTX"}, -5022),
        ({"price": "61800.10", "timeInForce": "FOK", "quantity": "2.001"}, -5021),
        ({"timeInForce": "GTD"}, -1102),
        ({"timeInForce": "GTD", "goodTillDate": "1000"}, -5040),
        ({"reduceOnly": "true"}, -2022),
        ({"reduceOnly": "perhaps"}, -1102),
        ({"positionSide": "LONG"}, -4061),
        ({"newClientOrderId": "with blank"}, -1100),
        ({"newClientOrderId": "x" * 37}, -4015),
        ({"newOrderRespType": "FULL"}, -1136),
        ({"selfTradePreventionMode": "MAYBE"}, -5039),
        ({"priceMatch": "QUEUE"}, -1106),
        ({"type": "MARKET"}, -1114),
        ({"type": "MARKET", "timeInForce": None}, -1106),
        ({"quantity": "1000"}, -2019),
        ({}, None),
    ],
)
async def test_a_wrong_order_gets_its_documented_code_and_leaves_nothing(
    change: dict[str, str | None], code: int | None
) -> None:
    async with venue() as (server, client):
        wanted = {name: value for name, value in (LIMIT | change).items() if value is not None}
        for path in ("/fapi/v1/order/test", "/fapi/v1/order"):
            status, reply = await client.call("POST", path, **wanted)
            assert (status, reply.get("code")) == ((200, None) if code is None else (400, code)), reply
        assert len(server.exchange.orders) == (code is None)


async def test_order_test_answers_an_order_object_without_an_order() -> None:
    async with venue() as (server, client):
        status, reply = await client.call("POST", "/fapi/v1/order/test", **LIMIT)
        assert (status, reply["orderId"], reply["symbol"], list(reply)) == (200, 0, "", ORDER_KEYS)
        assert not server.exchange.orders


async def test_a_client_order_id_may_be_used_again_when_its_order_has_closed() -> None:
    async with venue() as (_, client):
        await client.order("BUY", "0.010", "61799.50", newClientOrderId="twice")
        assert (await client.order("BUY", "0.010", "61799.50", newClientOrderId="twice"))[1]["code"] == -4116
        await client.call("DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT")
        assert (await client.order("BUY", "0.010", "61799.50", newClientOrderId="twice"))[0] == 200


async def test_identity_is_checked_before_the_request_itself() -> None:
    async with venue() as (_, client):
        wrong = {"symbol": "NOPEUSDT"}
        assert (await client.call("POST", "/fapi/v1/order", signed=False, **wrong))[1]["code"] == -2014
        assert (await client.call("POST", "/fapi/v1/order", key="unknown", **wrong))[0] == 401
        assert (await client.call("POST", "/fapi/v1/order", secret="other", **wrong))[1]["code"] == -1022
        old = int(time.time() * 1000) - 6000
        assert (await client.call("POST", "/fapi/v1/order", timestamp=old, secret="other", **wrong))[1]["code"] == -1022
        assert (await client.call("POST", "/fapi/v1/order", timestamp=old, **wrong))[1]["code"] == -1021
        assert (await client.call("POST", "/fapi/v1/order", timestamp=old, recvWindow=9000, **wrong))[1][
            "code"
        ] == -1121
        status, reply = await client.call("POST", "/fapi/v1/order", signed=False, key=client.key.key, **wrong)
        assert (status, reply["code"]) == (400, -1102)


async def test_batches_answer_each_element_in_its_place() -> None:
    async with venue() as (_, client):
        orders = [LIMIT | {"newClientOrderId": "b1"}, LIMIT | {"price": "1"}, LIMIT | {"newClientOrderId": "b2"}]
        status, replies = await client.call("POST", "/fapi/v1/batchOrders", batchOrders=json.dumps(orders))
        assert (status, [reply.get("status", reply.get("code")) for reply in replies]) == (200, ["NEW", -4013, "NEW"])
        amended = [
            {"symbol": "BTCUSDT", "side": "BUY", "origClientOrderId": "b1", "quantity": "0.02", "price": "61700"}
        ]
        _, replies = await client.call("PUT", "/fapi/v1/batchOrders", batchOrders=json.dumps(amended))
        assert replies[0]["origQty"] == "0.020"
        names = json.dumps(["b1", "nobody", "b2"])
        _, replies = await client.call("DELETE", "/fapi/v1/batchOrders", symbol="BTCUSDT", origClientOrderIdList=names)
        assert [reply.get("status", reply.get("code")) for reply in replies] == ["CANCELED", -2011, "CANCELED"]
        _, refused = await client.call("POST", "/fapi/v1/batchOrders", batchOrders=json.dumps([LIMIT] * 6))
        assert refused["code"] == -4082
        _, refused = await client.call("POST", "/fapi/v1/batchOrders", batchOrders="[1]")
        assert refused["code"] == -1130


async def test_lists_of_orders_and_trades_filter_and_limit() -> None:
    async with venue() as (_, client):
        _, first = await client.order("BUY", "0.010", newClientOrderId="one")
        _, second = await client.order("BUY", "0.010", "61799.50", newClientOrderId="two")
        await client.order("SELL", "0.005")
        _, rows = await client.call("GET", "/fapi/v1/allOrders", symbol="BTCUSDT", orderId=second["orderId"])
        assert [row["clientOrderId"] for row in rows[:1]] == ["two"] and len(rows) == 2
        _, rows = await client.call("GET", "/fapi/v1/allOrders", symbol="BTCUSDT", limit=1)
        assert len(rows) == 1 and rows[0]["side"] == "SELL"
        _, rows = await client.call("GET", "/fapi/v1/openOrders")
        assert [row["clientOrderId"] for row in rows] == ["two"]
        _, trades = await client.call("GET", "/fapi/v1/userTrades", symbol="BTCUSDT")
        assert trades[0]["orderId"] == first["orderId"]
        assert list(trades[0]) == [
            "symbol",
            "id",
            "orderId",
            "pair",
            "side",
            "price",
            "qty",
            "realizedPnl",
            "quoteQty",
            "commission",
            "commissionAsset",
            "time",
            "positionSide",
            "baseQty",
            "marginAsset",
            "buyer",
            "maker",
        ]
        _, later = await client.call("GET", "/fapi/v1/userTrades", symbol="BTCUSDT", fromId=trades[1]["id"])
        assert [row["id"] for row in later] == [trades[1]["id"]]
        _, refused = await client.call("GET", "/fapi/v1/userTrades", fromId=1, startTime=1)
        assert refused["code"] == -1128
        _, incomes = await client.call("GET", "/fapi/v1/income", incomeType="COMMISSION")
        assert [row["income"] for row in incomes] == [f"-{row['commission']}" for row in trades]


async def test_positions_and_balances_agree_with_the_truth() -> None:
    async with venue() as (_, client):
        await client.order("BUY", "0.010")
        _, truth = await client.admin("GET", "/admin/truth")
        demo = truth["accounts"]["demo"]
        _, (risk,) = await client.call("GET", "/fapi/v3/positionRisk")
        _, (old_risk,) = await client.call("GET", "/fapi/v2/positionRisk", symbol="BTCUSDT")
        assert risk["positionAmt"] == old_risk["positionAmt"] == "0.010"
        assert risk["entryPrice"] == old_risk["entryPrice"] == "61800.1"
        assert Decimal(risk["unRealizedProfit"]) == Decimal(demo["unrealized_pnl"])
        assert Decimal(risk["markPrice"]) == Decimal(demo["positions"]["BTCUSDT"]["mark"])
        for path in ("/fapi/v3/balance", "/fapi/v2/balance"):
            _, (row,) = await client.call("GET", path)
            assert row["balance"] == demo["wallet_balance"] == str(Decimal(100000) - Decimal(demo["fees"]))
        for path in ("/fapi/v3/account", "/fapi/v2/account"):
            _, account = await client.call("GET", path)
            assert account["totalWalletBalance"] == demo["wallet_balance"]
            assert account["positions"][0]["positionAmt"] == "0.010"
            assert Decimal(account["totalMarginBalance"]) == Decimal(demo["wallet_balance"]) + Decimal(
                demo["unrealized_pnl"]
            )
            used = Decimal("0.010") * Decimal(risk["markPrice"]) / 20
            assert Decimal(account["totalPositionInitialMargin"]) == round(used, 8)


async def test_settings_answer_as_documented() -> None:
    async with venue() as (_, client):
        symbol = {"symbol": "BTCUSDT"}
        cases: list[tuple[str, str, dict[str, Any], Any]] = [
            ("POST", "leverage", symbol | {"leverage": 21}, 21),
            ("POST", "leverage", symbol | {"leverage": 126}, -4028),
            ("POST", "marginType", symbol | {"marginType": "CROSSED"}, -4046),
            ("POST", "positionSide/dual", {"dualSidePosition": "false"}, -4059),
            ("POST", "multiAssetsMargin", {"multiAssetsMargin": "false"}, -4171),
            ("GET", "positionSide/dual", {}, None),
            ("GET", "multiAssetsMargin", {}, None),
            ("GET", "accountConfig", {}, None),
            ("GET", "commissionRate", symbol, None),
            ("GET", "rateLimit/order", {}, None),
            ("GET", "leverageBracket", symbol, None),
        ]
        for method, path, parameters, expected in cases:
            _, reply = await client.call(method, f"/fapi/v1/{path}", **parameters)
            found = (reply.get("leverage") or reply.get("code")) if isinstance(reply, dict) else None
            assert found == expected, (path, reply)
        _, rows = await client.call("GET", "/fapi/v1/symbolConfig", **symbol)
        assert rows[0]["leverage"] == 21
        _, rate = await client.call("GET", "/fapi/v1/commissionRate", **symbol)
        assert (rate["makerCommissionRate"], rate["takerCommissionRate"]) == ("0.000200", "0.000500")
        await client.order("BUY", "0.010", "61799.50")
        assert (await client.call("POST", "/fapi/v1/marginType", marginType="ISOLATED", **symbol))[1]["code"] == -4047
        _, reply = await client.call("POST", "/fapi/v1/positionSide/dual", dualSidePosition="true")
        assert reply["code"] == -4067


async def test_an_account_in_hedge_mode_says_so_and_is_refused_orders() -> None:
    async with venue() as (_, client):
        status, reply = await client.call("POST", "/fapi/v1/positionSide/dual", dualSidePosition="true")
        assert (status, reply) == (200, {"code": 200, "msg": "success"})
        assert (await client.call("GET", "/fapi/v1/positionSide/dual"))[1] == {"dualSidePosition": True}
        assert (await client.call("GET", "/fapi/v1/accountConfig"))[1]["dualSidePosition"] is True
        codes = [
            (await client.order("BUY", "0.010", "61799.00", **more))[1]["code"]
            for more in (
                {},
                {"positionSide": "LONG"},
                {"positionSide": "LONG", "reduceOnly": "true"},
                {"positionSide": "UP"},
            )
        ]
        assert codes == [-4061, -1020, -4062, -4060]
        await client.call("POST", "/fapi/v1/positionSide/dual", dualSidePosition="false")
        assert (await client.order("BUY", "0.010", "61799.00"))[0] == 200
        assert (await client.order("BUY", "0.010", "61799.00", positionSide="LONG"))[1]["code"] == -4061


@pytest.mark.parametrize(
    ("side", "mode", "price"),
    [("BUY", "QUEUE", "61800.00"), ("SELL", "QUEUE", "61800.10"), ("BUY", "OPPONENT", "61800.10")],
)
async def test_a_matched_price_is_the_books(side: str, mode: str, price: str) -> None:
    async with venue() as (_, client):
        parameters = {"symbol": "BTCUSDT", "side": side, "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.010"}
        status, reply = await client.call("POST", "/fapi/v1/order", priceMatch=mode, **parameters)
        assert status == 200, reply
        assert (reply["price"], reply["priceMatch"]) == (price, mode)


async def test_what_cannot_be_matched_is_refused_as_documented() -> None:
    async with venue() as (_, client):
        limit = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.010", "type": "LIMIT", "timeInForce": "GTC"}
        market = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.010", "type": "MARKET"}
        codes = [
            (await client.call("POST", "/fapi/v1/order", **parameters))[1]["code"]
            for parameters in (
                limit | {"priceMatch": "NEAREST"},
                limit | {"priceMatch": "QUEUE", "price": "61800"},
                limit | {"priceMatch": "QUEUE_20"},  # the book has three levels
                market | {"priceMatch": "OPPONENT"},
            )
        ]
        assert codes == [-5037, -1106, -5041, -5038]


async def test_an_amendment_may_have_its_price_matched() -> None:
    async with venue() as (_, client):
        _, order = await client.order("BUY", "0.010", "61799.00")
        what = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.010", "orderId": order["orderId"]}
        assert (await client.call("PUT", "/fapi/v1/order", priceMatch="QUEUE_5", **what))[1]["code"] == -5041
        status, reply = await client.call("PUT", "/fapi/v1/order", priceMatch="QUEUE", **what)
        assert (status, reply["price"], reply["priceMatch"]) == (200, "61800.00", "QUEUE")


async def test_funding_moves_the_wallet_and_is_told_with_its_symbol() -> None:
    async with venue() as (server, client):
        stream = await client.user_stream()
        await client.order("BUY", "0.010")
        await receive_many(stream, 4)
        wallet = server.exchange.accounts["demo"].wallet
        status, reply = await client.admin("POST", "/admin/funding", {"symbol": "BTCUSDT", "rate": "0.0001"})
        assert (status, reply) == (200, {"positions": 1})
        event = await receive(stream)
        paid = -Decimal("0.010") * server.exchange.mark("BTCUSDT") * Decimal("0.0001")
        assert (event["e"], event["a"]["m"], event["a"]["S"], event["a"]["P"]) == (
            "ACCOUNT_UPDATE", "FUNDING_FEE", "BTCUSDT", [],
        )  # fmt: skip
        assert Decimal(event["a"]["B"][0]["bc"]) == paid.quantize(Decimal("1e-8"))
        assert server.exchange.accounts["demo"].wallet == wallet + Decimal(event["a"]["B"][0]["bc"])
        _, rows = await client.call("GET", "/fapi/v1/income", incomeType="FUNDING_FEE")
        assert [row["income"] for row in rows] == [event["a"]["B"][0]["bc"]]
        for body in ({"symbol": "NOUSDT"}, {"symbol": "BTCUSDT", "rate": "much"}):
            assert (await client.admin("POST", "/admin/funding", body))[0] == 400


async def test_funding_is_settled_when_its_hour_comes() -> None:
    async with venue() as (server, client):
        await client.order("SELL", "0.010")
        server._next_funding_ms = 0
        await until(lambda: server.venue.funding)
        assert server.venue.funding[0].amount > 0  # a short position receives
        assert server._next_funding_ms > time.time() * 1000


async def test_the_countdown_cancels_the_symbols_orders() -> None:
    async with venue() as (server, client):
        _, order = await client.order("BUY", "0.010", "61799.50")
        _, reply = await client.call("POST", "/fapi/v1/countdownCancelAll", symbol="BTCUSDT", countdownTime=30)
        assert reply == {"symbol": "BTCUSDT", "countdownTime": "30"}
        await until(lambda: not server.exchange.orders[order["orderId"]].state.is_open)
        assert server.exchange.orders[order["orderId"]].state.value == "CANCELED"


async def test_accounts_are_apart_and_trade_with_each_other() -> None:
    keys = (ApiKey("key-a", "secret-a", "a"), ApiKey("key-b", "secret-b", "b"))
    async with venue(api_keys=keys) as (server, client):
        server.deliver(top("61799.90", "1", "61800.10", "1", 2000))
        _, maker = await client.order("SELL", "0.010", "61800.00")
        other = type(client)(client.session, server, keys[1])
        _, taker = await other.order("BUY", "0.010", "61800.00", newOrderRespType="RESULT", timeInForce="IOC")
        assert taker["status"] == "FILLED"
        assert (await other.call("GET", "/fapi/v1/order", symbol="BTCUSDT", orderId=maker["orderId"]))[1][
            "code"
        ] == -2013
        _, found = await client.call("GET", "/fapi/v1/order", symbol="BTCUSDT", orderId=maker["orderId"])
        assert found["status"] == "FILLED"


async def test_order_limits_refuse_with_429_and_count_in_headers() -> None:
    async with venue(order_limit_10s=3) as (server, client):
        stop_clock(server)
        for count in (1, 2, 3):
            assert (await client.order("BUY", "0.010", "61799.50"))[0] == 200
            assert client.headers["X-MBX-ORDER-COUNT-10S"] == str(count)
        status, reply = await client.order("BUY", "0.010", "61799.50")
        assert (status, reply["code"]) == (429, -1015)
        assert reply["msg"] == "Too many new orders; current limit is 3 orders per 10 SECOND."
        assert (await client.call("DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT"))[0] == 200
        assert len(server.exchange.orders) == 3


async def test_an_unknown_path_is_404_as_on_the_testnet() -> None:
    async with venue() as (_, client):
        assert await client.call("GET", "/fapi/v1/nothing", signed=False) == (
            404,
            {"code": -5000, "msg": "Path /fapi/v1/nothing, Method GET is invalid"},
        )


async def test_a_market_trade_fills_the_resting_order() -> None:
    async with venue() as (server, client):
        _, order = await client.order("BUY", "0.010", "61800.00", timeInForce="GTX")
        server.deliver(trade("61800.00", "2", buyer_is_maker=True))
        server.deliver(trade("61800.00", "0.004", buyer_is_maker=True))
        _, found = await client.call("GET", "/fapi/v1/order", symbol="BTCUSDT", orderId=order["orderId"])
        assert (found["status"], found["executedQty"]) == ("PARTIALLY_FILLED", "0.004")
