"""Requests to query strings, the venue's messages to facts. Frames are composed in the documented shape."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.binance.order_codec import OrderCodec
from exchanges.binance.order_messages import (
    AccountConfig,
    AccountUpdate,
    ListenKeyExpired,
    OrderTradeUpdate,
    SymbolConfig,
    TradeLite,
)
from exchanges.order_events import FactFlag
from exchanges.order_instruments import OrderInstrument, OrderInstruments
from exchanges.order_wire import MalformedMessage, UnsupportedRequest, own_order_id, synthetic_order_id
from shm.layout import (
    EventType,
    ExecFlag,
    FillPart,
    Liquidity,
    OrderState,
    OrderType,
    Reason,
    RequestType,
    Side,
    TimeInForce,
    client_order_id,
    instrument_id,
)
from shm.records import OrderEvent, OrderRequest

E = EventType
S = OrderState
INSTANCE = 4
BTC = OrderInstrument(instrument_id(1, 0), "BTCUSDT", price_scale=2, quantity_scale=3)
ETH = OrderInstrument(instrument_id(1, 1), "ETHUSDC", price_scale=2, quantity_scale=3)
CODEC = OrderCodec(OrderInstruments([BTC, ETH]), INSTANCE)
OWN = client_order_id(INSTANCE, 2, 7, 41)
NOW = 123_456


def request(kind: RequestType = RequestType.NEW, **fields: Any) -> OrderRequest:
    record = OrderRequest()
    record.request_type, record.client_order_id, record.instrument_id = kind, OWN, BTC.id
    record.side, record.order_type, record.time_in_force = Side.BUY, OrderType.LIMIT, TimeInForce.GTC
    record.price, record.quantity, record.request_id, record.epoch = 8_455_100, 10, 5, 7
    record.sequence = 31
    for name, value in fields.items():
        setattr(record, name, value)
    return record


# --- requests --------------------------------------------------------------------------------------------------------
def test_a_limit_order_in_the_venues_words() -> None:
    assert CODEC.encode_new(request()) == {
        "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "84551", "quantity": "0.01",
        "newClientOrderId": str(OWN), "newOrderRespType": "ACK",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"exec_flags": ExecFlag.POST_ONLY}, {"timeInForce": "GTX", "newOrderRespType": "ACK"}),
        ({"time_in_force": TimeInForce.IOC}, {"timeInForce": "IOC", "newOrderRespType": "RESULT"}),
        ({"time_in_force": TimeInForce.FOK}, {"timeInForce": "FOK", "newOrderRespType": "RESULT"}),
        ({"exec_flags": ExecFlag.REDUCE_ONLY}, {"reduceOnly": "true"}),
        ({"side": Side.SELL}, {"side": "SELL"}),
        ({"price": 1}, {"price": "0.01"}),
        ({"quantity": 123_456}, {"quantity": "123.456"}),
        (
            {"time_in_force": TimeInForce.GTD, "expire_time_ns": 1_790_000_000_999 * 10**6 + 999},
            {"timeInForce": "GTD", "goodTillDate": 1790000000000},  # whole seconds, as the venue keeps them
        ),
        ({"exec_flags": ExecFlag.EXPIRE_TAKER}, {"selfTradePreventionMode": "EXPIRE_TAKER"}),
        ({"exec_flags": ExecFlag.EXPIRE_MAKER}, {"selfTradePreventionMode": "EXPIRE_MAKER"}),
        (
            {"exec_flags": ExecFlag.EXPIRE_TAKER | ExecFlag.EXPIRE_MAKER | ExecFlag.REDUCE_ONLY},
            {"selfTradePreventionMode": "EXPIRE_BOTH", "reduceOnly": "true"},
        ),
    ],
)
def test_instructions_of_a_limit_order(fields: dict[str, Any], expected: dict[str, str]) -> None:
    sent = CODEC.encode_new(request(**fields))
    assert expected.items() <= sent.items()
    assert "selfTradePreventionMode" in expected or "selfTradePreventionMode" not in sent, "the venue's default stands"


def test_a_market_order_names_neither_price_nor_time_in_force_and_wants_its_result() -> None:
    sent = CODEC.encode_new(request(order_type=OrderType.MARKET, price=0))
    assert sent == {
        "symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01", "newClientOrderId": str(OWN),
        "newOrderRespType": "RESULT",
    }  # fmt: skip


@pytest.mark.parametrize(
    "fields",
    [
        {"side": Side.NONE},
        {"order_type": OrderType.NONE},
        {"instrument_id": 99},
        {"order_type": OrderType.MARKET, "exec_flags": ExecFlag.POST_ONLY},
        {"order_type": OrderType.MARKET, "time_in_force": TimeInForce.FOK},
        {"order_type": OrderType.MARKET, "time_in_force": TimeInForce.GTD},
        {"time_in_force": TimeInForce.IOC, "exec_flags": ExecFlag.POST_ONLY},
        {"time_in_force": TimeInForce.GTD, "expire_time_ns": 0},
    ],
)
def test_what_the_venue_cannot_do_is_refused_in_one_sentence(fields: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedRequest):
        CODEC.encode_new(request(**fields))


def test_cancel_and_replace() -> None:
    assert CODEC.encode_cancel(request(RequestType.CANCEL)) == {"symbol": "BTCUSDT", "origClientOrderId": str(OWN)}
    assert CODEC.encode_replace(request(RequestType.REPLACE, quantity=25)) == {
        "symbol": "BTCUSDT", "side": "BUY", "origClientOrderId": str(OWN), "quantity": "0.025", "price": "84551",
    }  # fmt: skip


@given(price=st.integers(1, 10**15), quantity=st.integers(1, 10**15))
def test_numbers_survive_the_way_to_the_venue_and_back(price: int, quantity: int) -> None:
    sent = CODEC.encode_new(request(price=price, quantity=quantity))
    reply = order_reply(price=sent["price"], origQty=sent["quantity"], executedQty=sent["quantity"])
    fact = CODEC.decode_order(json.dumps(reply).encode(), NOW)
    assert (fact.price, fact.quantity, fact.cumulative_quantity) == (price, quantity, quantity)
    assert "e" not in f"{sent['price']}{sent['quantity']}".lower()


# --- replies ---------------------------------------------------------------------------------------------------------
def order_reply(**changes: Any) -> dict[str, Any]:
    """Today's shape of POST, PUT and DELETE: without avgPrice and cumQuote."""
    return {
        "orderId": 33878890001, "symbol": "BTCUSDT", "status": "NEW", "clientOrderId": str(OWN), "price": "84551.00",
        "origQty": "0.010", "executedQty": "0.000", "cumQty": "0.000", "timeInForce": "GTC", "type": "LIMIT",
        "reduceOnly": False, "closePosition": False, "side": "BUY", "positionSide": "BOTH", "stopPrice": "0.00",
        "workingType": "CONTRACT_PRICE", "priceProtect": False, "origType": "LIMIT", "priceMatch": "NONE",
        "selfTradePreventionMode": "EXPIRE_MAKER", "goodTillDate": 0, "updateTime": 1790000000000,
    } | changes  # fmt: skip


def old_shape(reply: dict[str, Any]) -> dict[str, Any]:
    """Before July 2026, and query replies still."""
    return reply | {"avgPrice": "84551.00000", "cumQuote": "0.00000", "time": 1790000000000}


def answer(kind: RequestType, reply: Any, status: int = 200) -> OrderEvent:
    body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
    return CODEC.decode_request_reply(request(kind), status, body, NOW)[0]


@pytest.mark.parametrize("shape", [dict, old_shape])
def test_an_accepted_order_in_both_reply_shapes(shape: Any) -> None:
    fact = answer(RequestType.NEW, shape(order_reply()))
    assert (fact.event_type, fact.order_state) == (E.ACCEPTED, S.OPEN)
    assert (fact.client_order_id, fact.exchange_order_id, fact.strategy_id) == (OWN, b"33878890001", 2)
    assert (fact.price, fact.quantity, fact.exchange_time_ns) == (8_455_100, 10, 1790000000000 * 10**6)
    assert (fact.request_id, fact.request_sequence, fact.request_type, fact.epoch) == (5, 31, RequestType.NEW, 7)
    assert not fact.flags & FactFlag.CUMULATIVE_KNOWN, "an ACK says 0 executed whatever happened"


def test_the_result_of_an_order_that_took_at_once_tells_its_quantity() -> None:
    fact = answer(RequestType.NEW, order_reply(status="FILLED", executedQty="0.010", type="MARKET"))
    assert (fact.event_type, fact.order_state, fact.cumulative_quantity) == (E.STATUS, S.FILLED, 10)
    assert fact.flags & FactFlag.CUMULATIVE_KNOWN
    expired = answer(RequestType.NEW, order_reply(status="EXPIRED", executedQty="0.004", timeInForce="IOC"))
    assert (expired.event_type, expired.order_state, expired.cumulative_quantity) == (E.STATUS, S.EXPIRED, 4)


def test_replies_to_cancel_and_replace() -> None:
    canceled = answer(RequestType.CANCEL, order_reply(status="CANCELED", executedQty="0.003"))
    assert (canceled.event_type, canceled.cumulative_quantity) == (E.CANCELED, 3)
    replaced = answer(RequestType.REPLACE, order_reply(price="84000.5", origQty="0.02", modifyId=3, pair="BTCUSDT"))
    assert (replaced.event_type, replaced.price, replaced.quantity) == (E.REPLACED, 8_400_050, 20)
    ended = answer(RequestType.REPLACE, order_reply(status="CANCELED"))
    assert (ended.event_type, ended.order_state) == (E.STATUS, S.CANCELED)


@pytest.mark.parametrize(
    ("kind", "event"),
    [
        (RequestType.NEW, E.REJECTED),
        (RequestType.CANCEL, E.CANCEL_REJECTED),
        (RequestType.REPLACE, E.REPLACE_REJECTED),
    ],
)
def test_refusals_keep_the_venues_code_and_words(kind: RequestType, event: E) -> None:
    fact = answer(kind, {"code": -2011, "msg": "Unknown order sent."}, 400)
    assert (fact.event_type, fact.reason, fact.error_code) == (event, Reason.VENUE_UNKNOWN_ORDER, -2011)
    assert (fact.text, fact.client_order_id, fact.request_id) == (b"Unknown order sent.", OWN, 5)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (503, {"code": -1000, "msg": "Unknown error, please check your request or try again later."}),
        (408, {"code": -1007, "msg": "Timeout waiting for response from backend server."}),
        (500, b"<html>oops</html>"),
        (400, b""),
        (200, b"<html>fine</html>"),
        (200, {"orderId": 1}),
        (200, order_reply(status="WHATEVER")),
        (200, order_reply(price="eighty")),
        (200, order_reply(symbol="DOGEUSDT")),
    ],
)
@pytest.mark.parametrize("kind", [RequestType.NEW, RequestType.CANCEL, RequestType.REPLACE])
def test_whatever_is_not_the_venues_clear_word_is_unknown(kind: RequestType, status: int, body: Any) -> None:
    fact = answer(kind, body, status)
    assert (fact.event_type, fact.request_type) == (E.UNKNOWN, kind)


def test_a_long_message_is_cut_between_characters() -> None:
    fact = answer(RequestType.NEW, {"code": -2010, "msg": "é" * 200}, 400)
    assert fact.text.decode("utf-8") == "é" * 40


def test_open_orders_name_strangers_by_a_synthetic_id() -> None:
    listed = [
        order_reply(),
        order_reply(clientOrderId="web_abc", orderId=7),
        order_reply(clientOrderId=str(client_order_id(INSTANCE + 1, 1, 1, 1)), orderId=8),
        order_reply(symbol="XRPUSDT", orderId=9),
    ]
    facts = CODEC.decode_open_orders(json.dumps(listed).encode(), NOW)
    assert [fact.client_order_id for fact in facts] == [
        OWN,
        synthetic_order_id(BTC.id, 7),
        synthetic_order_id(BTC.id, 8),
    ]
    assert all(fact.client_order_id >> 63 == 0 for fact in facts[1:])


def test_a_row_of_user_trades_is_a_whole_fill() -> None:
    row = {
        "symbol": "BTCUSDT", "id": 698759001, "orderId": 33878890001, "pair": "BTCUSDT", "side": "SELL",
        "price": "84551.00", "realizedPnl": "0", "qty": "0.002", "quoteQty": "169.10200", "commission": "-0.00845510",
        "commissionAsset": "USDT", "time": 1790000000000, "positionSide": "BOTH", "baseQty": "0",
        "marginAsset": "USDT", "buyer": False, "maker": True,
    }  # fmt: skip
    (fact,) = CODEC.decode_user_trades(json.dumps([row, row | {"symbol": "XRPUSDT"}]).encode(), NOW)
    assert (fact.event_type, fact.parts) == (E.FILL, FillPart.QUANTITY | FillPart.FEE)
    assert (fact.trade_id, fact.exchange_order_id, fact.side) == (b"698759001", b"33878890001", Side.SELL)
    assert (fact.last_price, fact.last_quantity, fact.liquidity) == (8_455_100, 2, Liquidity.MAKER)
    assert (fact.fee, fact.fee_currency) == (-845_510, b"USDT"), "a rebate is negative"


# --- user stream -----------------------------------------------------------------------------------------------------
def order_update(**changes: Any) -> dict[str, Any]:
    order = {
        "s": "BTCUSDT", "c": str(OWN), "S": "BUY", "o": "LIMIT", "f": "GTC", "q": "0.002", "p": "84551.0",
        "ap": "84551.00000", "sp": "0", "x": "TRADE", "X": "FILLED", "i": 33878890001, "l": "0.002", "z": "0.002",
        "L": "84551.00", "n": "0.08455100", "N": "USDT", "T": 1790000000444, "t": 8123340001, "b": "0", "a": "0",
        "m": False, "R": False, "wt": "CONTRACT_PRICE", "ot": "LIMIT", "ps": "BOTH", "cp": False, "rp": "0",
        "pP": False, "si": 0, "ss": 0, "V": "EXPIRE_MAKER", "pm": "NONE", "gtd": 0, "er": "0",
    } | changes  # fmt: skip
    return {"e": "ORDER_TRADE_UPDATE", "T": 1790000000444, "E": 1790000000444, "o": order}


def update_fact(**changes: Any) -> OrderEvent:
    message = CODEC.decode_stream(json.dumps(order_update(**changes)).encode())
    assert isinstance(message, OrderTradeUpdate)
    fact = CODEC.order_update(message, NOW)
    assert fact is not None
    return fact


QUIET = {"l": "0", "L": "0", "t": 0, "n": "0"}


def test_a_trade_update_is_a_fill_with_both_parts_and_the_venues_sum() -> None:
    fact = update_fact()
    assert (fact.event_type, fact.order_state, fact.parts) == (E.FILL, S.FILLED, FillPart.QUANTITY | FillPart.FEE)
    assert (fact.trade_id, fact.last_price, fact.last_quantity) == (b"8123340001", 8_455_100, 2)
    assert (fact.cumulative_quantity, fact.fee, fact.fee_currency) == (2, 8_455_100, b"USDT")
    assert (fact.liquidity, fact.exchange_time_ns, fact.receive_time_ns) == (
        Liquidity.TAKER, 1790000000444 * 10**6, NOW,
    )  # fmt: skip
    assert fact.flags & FactFlag.STREAM


@pytest.mark.parametrize(
    ("changes", "event", "state", "reason"),
    [
        ({"x": "NEW", "X": "NEW", "z": "0"}, E.ACCEPTED, S.OPEN, 0),
        ({"x": "CANCELED", "X": "CANCELED", "z": "0.001"}, E.CANCELED, S.CANCELED, 0),
        ({"x": "EXPIRED", "X": "EXPIRED", "er": "2"}, E.EXPIRED, S.EXPIRED, Reason.VENUE_EXPIRED),
        ({"x": "EXPIRED", "X": "EXPIRED_IN_MATCH", "er": "1"}, E.EXPIRED, S.EXPIRED, Reason.VENUE_SELF_TRADE),
        ({"x": "CANCELED", "X": "CANCELED", "er": "4"}, E.CANCELED, S.CANCELED, Reason.VENUE_REDUCE_ONLY),
        ({"x": "EXPIRED", "X": "EXPIRED", "er": "5"}, E.EXPIRED, S.EXPIRED, Reason.VENUE_LIQUIDATION),
        ({"x": "AMENDMENT", "X": "NEW", "M": "7"}, E.REPLACED, S.OPEN, 0),
        ({"x": "AMENDMENT", "X": "PARTIALLY_FILLED", "z": "0.001"}, E.REPLACED, S.PARTIALLY_FILLED, 0),
        ({"x": "SOMETHING_NEW", "X": "NEW"}, E.STATUS, S.OPEN, 0),
    ],
)
def test_executions_without_a_trade(changes: dict[str, Any], event: E, state: S, reason: int) -> None:
    fact = update_fact(**{**QUIET, **changes})
    assert (fact.event_type, fact.order_state, fact.reason, fact.parts) == (event, state, reason, 0)


def test_a_liquidations_trade_is_a_fill_of_somebody_elses_order() -> None:
    fact = update_fact(x="CALCULATED", c="autoclose-1790000000444", o="LIQUIDATION", f="IOC")
    assert (fact.event_type, fact.order_type) == (E.FILL, OrderType.MARKET)
    assert fact.client_order_id == synthetic_order_id(BTC.id, 33878890001)


def test_a_post_only_order_is_known_as_one() -> None:
    fact = update_fact(f="GTX", R=True)
    assert fact.exec_flags == ExecFlag.POST_ONLY | ExecFlag.REDUCE_ONLY
    assert fact.time_in_force == TimeInForce.GTC


def test_older_frames_without_fee_and_expiry_reason_are_read() -> None:
    frame = order_update(**QUIET, x="NEW", X="NEW", z="0")
    for key in ("n", "N", "er", "t", "m", "R"):
        del frame["o"][key]
    message = CODEC.decode_stream(json.dumps(frame).encode())
    assert isinstance(message, OrderTradeUpdate)
    fact = CODEC.order_update(message, NOW)
    assert fact is not None
    assert fact.event_type == E.ACCEPTED


def test_trade_lite_is_the_quantity_part_alone() -> None:
    frame = {
        "e": "TRADE_LITE", "E": 1790000000444, "T": 1790000000444, "s": "BTCUSDT", "q": "0.002", "p": "0.00",
        "m": True, "c": str(OWN), "S": "SELL", "L": "84551.00", "l": "0.002", "t": 8123340001, "i": 33878890001,
    }  # fmt: skip
    message = CODEC.decode_stream(json.dumps(frame).encode())
    assert isinstance(message, TradeLite)
    fact = CODEC.trade_lite(message, NOW)
    assert fact is not None
    assert (fact.event_type, fact.parts, fact.trade_id) == (E.FILL, FillPart.QUANTITY, b"8123340001")
    assert (fact.last_price, fact.last_quantity, fact.liquidity, fact.side) == (
        8_455_100, 2, Liquidity.MAKER, Side.SELL,
    )  # fmt: skip
    assert fact.flags == FactFlag.STREAM


def test_an_account_update_becomes_rows() -> None:
    frame = {
        "e": "ACCOUNT_UPDATE", "T": 1790000000444, "E": 1790000000444,
        "a": {
            "B": [{"a": "USDT", "wb": "642.76097079", "cw": "642.76097079", "bc": "0"}],
            "P": [
                {"s": "BTCUSDT", "pa": "-0.002", "ep": "83041.30324000001", "cr": "-1.7734", "up": "-0.03508665",
                 "mt": "cross", "iw": "0", "ps": "BOTH", "ma": "USDT", "bep": "84593.2755"},
                {"s": "BTCUSDT", "pa": "1", "ep": "0", "ps": "LONG"},
                {"s": "XRPUSDT", "pa": "1", "ep": "0", "ps": "BOTH"},
            ],
            "m": "ORDER",
        },
    }  # fmt: skip
    message = CODEC.decode_stream(json.dumps(frame).encode())
    assert isinstance(message, AccountUpdate)
    (position,), (balance,) = CODEC.account_rows(message, NOW)
    assert (position.instrument_id, position.position, position.entry_price) == (BTC.id, -2, 83041.30324000001)
    assert (position.accumulated_realized_pnl, position.unrealized_pnl) == (-177_340_000, -3_508_665)
    assert (balance.currency, balance.wallet_balance, balance.exchange_time_ns) == (
        b"USDT", 64_276_097_079, 1790000000444 * 10**6,
    )  # fmt: skip


def test_positions_and_balances_of_a_snapshot() -> None:
    risks = [
        {"symbol": "BTCUSDT", "positionSide": "BOTH", "positionAmt": "0.005", "entryPrice": "84551.0",
         "unRealizedProfit": "1.5", "updateTime": 1790000000000},
    ]  # fmt: skip
    (position,) = CODEC.decode_positions(json.dumps(risks).encode(), NOW)
    assert (position.position, position.unrealized_pnl, position.valid) == (5, 150_000_000, 1)
    listed = [
        {"accountAlias": "x", "asset": "USDT", "balance": "100.5", "crossWalletBalance": "100.5", "crossUnPnl": "-1",
         "availableBalance": "99.123456789", "maxWithdrawAmount": "99", "marginAvailable": True, "updateTime": 5},
    ]  # fmt: skip
    (balance,) = CODEC.decode_balances(json.dumps(listed).encode(), NOW)
    assert (balance.wallet_balance, balance.available_balance, balance.unrealized_pnl) == (
        10_050_000_000, 9_912_345_679, -100_000_000,
    )  # fmt: skip


def test_listen_key_events_and_replies() -> None:
    for event_time in (1790000000000, '"1790000000000"'):
        frame = f'{{"e":"listenKeyExpired","E":{event_time},"listenKey":"k"}}'
        assert isinstance(CODEC.decode_stream(frame.encode()), ListenKeyExpired)
    assert CODEC.decode_listen_key(b'{"listenKey":"abc"}') == "abc"
    assert CODEC.decode_listen_key(b"{}") == ""
    account = (
        b'{"feeTier":0,"canTrade":true,"canDeposit":true,"canWithdraw":true,"dualSidePosition":true,'
        b'"updateTime":0,"multiAssetsMargin":false,"tradeGroupId":-1}'
    )
    assert CODEC.decode_account_config(account) == AccountConfig(True, False, True)
    rows = b'[{"symbol":"BTCUSDT","marginType":"CROSSED","isAutoAddMargin":false,"leverage":20,"maxNotionalValue":"1"}]'
    assert CODEC.decode_symbol_configs(rows) == [SymbolConfig("BTCUSDT", "CROSSED", 20)]
    assert CODEC.decode_server_time(b'{"serverTime":1790000000000}') == 1790000000000 * 10**6


@pytest.mark.parametrize("event", ["STRATEGY_UPDATE", "ALGO_UPDATE", "GRID_UPDATE", "whatever"])
def test_events_without_a_use_are_passed_over(event: str) -> None:
    assert CODEC.decode_stream(json.dumps({"e": event, "E": 1, "x": {}}).encode()) is None


@pytest.mark.parametrize(
    "frame",
    [b"", b"{}", b"[]", b'{"e":1}', b'{"e":"ORDER_TRADE_UPDATE"}', b'{"e":"TRADE_LITE","s":"BTCUSDT"}', b"\xff\xfe"],
)
def test_a_broken_frame_is_said_and_nothing_more(frame: bytes) -> None:
    with pytest.raises(MalformedMessage):
        CODEC.decode_stream(frame)


@given(st.binary(max_size=300))
def test_no_bytes_break_the_decoders(payload: bytes) -> None:
    for decode in (CODEC.decode_stream, CODEC.decode_error):
        with contextlib.suppress(MalformedMessage):
            decode(payload)
    assert CODEC.decode_request_reply(request(), 200, payload, NOW)[0].event_type == E.UNKNOWN


@given(
    st.sampled_from(sorted(order_update()["o"])),
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=25), st.lists(st.integers())),
)
def test_no_value_in_an_order_update_breaks_the_codec(key: str, value: Any) -> None:
    try:
        message = CODEC.decode_stream(json.dumps(order_update(**{key: value})).encode())
        assert isinstance(message, OrderTradeUpdate)
        CODEC.order_update(message, NOW)
    except MalformedMessage:
        pass


@pytest.mark.parametrize(
    "changes",
    [
        {"T": 2**63},
        {"T": -1},
        {"T": 9_223_372_036_855},
        {"i": 2**64},
        {"t": -5},
        {"n": "1" + "0" * 30},
        {"q": "9" * 40},
    ],
)
def test_numbers_that_no_record_can_hold_are_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedMessage):
        update_fact(**changes)


# --- ids -------------------------------------------------------------------------------------------------------------
@given(st.integers(0, 2**64 - 1))
def test_own_ids_are_exactly_those_with_our_bits(value: int) -> None:
    ours = value >> 56 == 0x80 | INSTANCE
    assert own_order_id(str(value), INSTANCE) == (value if ours else 0)


@pytest.mark.parametrize("text", ["", "abc", "-9511602413006487551", "٩" * 19, f"{OWN}0", f" {OWN}", f"+{OWN}"])
def test_other_texts_are_nobodys(text: str) -> None:
    assert own_order_id(text, INSTANCE) == 0


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**31))
def test_synthetic_ids_can_never_be_ours(exchange_order_id: int, instrument: int) -> None:
    assert 0 < synthetic_order_id(instrument, exchange_order_id) < 1 << 63


# --- recorded frames -------------------------------------------------------------------------------------------------
def test_recorded_frames_of_the_user_stream_are_understood(corpus: Path) -> None:
    path = corpus / "binance" / "unlicensed-local-only" / "user_stream_frames_2024_2026.jsonl"
    if not path.exists():
        pytest.skip(f"no recorded user stream: {path} is missing")
    symbols = ("BTCUSDT", "SOLUSDT", "ETHUSDC", "DOTUSDT", "ETHUSDT")
    wide = OrderCodec(
        OrderInstruments(OrderInstrument(i + 1, symbol, 8, 8) for i, symbol in enumerate(symbols)), INSTANCE
    )
    facts: list[OrderEvent | None] = []
    for line in path.read_bytes().splitlines():
        message = wide.decode_stream(line)
        if isinstance(message, OrderTradeUpdate):
            facts.append(wide.order_update(message, NOW))
        elif isinstance(message, TradeLite):
            facts.append(wide.trade_lite(message, NOW))
        elif isinstance(message, AccountUpdate):
            assert wide.account_rows(message, NOW)
    first = [fact for fact in facts if fact is not None][:3]
    assert [fact.event_type for fact in first] == [E.FILL, E.ACCEPTED, E.FILL]
    assert first[0].trade_id == first[2].trade_id == b"5612428004"
    assert first[2].fee == round(91739.90 * 0.002 * 0.0005 * 10**8)
