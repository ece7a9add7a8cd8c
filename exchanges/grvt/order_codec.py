"""Orders of GRVT without I/O: requests to signed bodies of its calls.

The rules
- The client order id on the wire is the decimal text of our uint64, whose top bit is the venue's own wish.
- What is signed and what is written are made from the same integers: a size of 13 at scale 3 is "0.013" on the wire and
  13 * 10^6 in a signature that counts in 10^-9. An instrument whose steps the venue could not sign is refused here.
- The end of an order stands in its signature. What may rest is signed for RESTING_LIFE, a day less than the venue's
  thirty, and ends then by itself (EXPIRED) unless it was renewed; GTD for its own time. What may not rest is signed for
  no longer than the request may live, so that one that arrives late dies instead of trading.
- Cancels are not signed. One by client order id is remembered by the venue for TIME_TO_LIVE, and kills an order of
  that id which arrives after it.
- There is no amend.

Source: https://api-docs.grvt.io/trading_api (Create Order, Cancel Order, Cancel All, Get Order).

Who calls it: the order path of the trading engine, bench/order_path_grvt.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from exchanges.adapter import ConfigurationError
from exchanges.decimal_text import decimal_text
from exchanges.grvt.auth import RequestSigner, asset_word
from exchanges.grvt.endpoints import SIGNATURE_LIFETIME_S, TIME_TO_LIVE_LIMIT_MS
from exchanges.grvt.instruments import SigningTerms
from exchanges.grvt.typed_data import PRICE_SCALE, TIME_IN_FORCE_CODES
from exchanges.order_instruments import OrderInstrument, OrderInstruments
from exchanges.order_wire import UnsupportedRequest
from shm.layout import ExecFlag, OrderType, Side, TimeInForce
from shm.records import OrderRequest

CREATE: Final = "v1/create_order"
CANCEL: Final = "v1/cancel_order"
QUERY: Final = "v1/order"
RESTING_LIFE_NS: Final = int((SIGNATURE_LIFETIME_S - 24 * 3600.0) * 1e9)
TIME_TO_LIVE: Final = str(TIME_TO_LIVE_LIMIT_MS)
SELF_TRADE: Final = int(ExecFlag.EXPIRE_TAKER | ExecFlag.EXPIRE_MAKER)
"""Modes that a request may ask for; the venue has one of its own and no choice."""
POST_ONLY: Final = int(ExecFlag.POST_ONLY)
REDUCE_ONLY: Final = int(ExecFlag.REDUCE_ONLY)
_GOOD_TILL_TIME: Final = "GOOD_TILL_TIME"
TIME_IN_FORCE_TEXT: Final[dict[int, str]] = {
    TimeInForce.NONE: _GOOD_TILL_TIME,
    TimeInForce.GTC: _GOOD_TILL_TIME,
    TimeInForce.GTD: _GOOD_TILL_TIME,
    TimeInForce.IOC: "IMMEDIATE_OR_CANCEL",
    TimeInForce.FOK: "FILL_OR_KILL",
}


class _Terms(NamedTuple):
    """How one instrument's mantissas become what is signed."""

    asset: bytes
    size_factor: int
    price_factor: int


class OrderCodec:
    """Requests of one sub account. `nonce` gives one that was never used (nonces.py)."""

    def __init__(
        self,
        instruments: OrderInstruments,
        signer: RequestSigner,
        account: str,
        terms: Mapping[str, SigningTerms],
        nonce: Callable[[], int],
    ) -> None:
        """terms: of every instrument. Raises ConfigurationError where one's steps cannot be signed."""
        self._instruments, self._signer, self._account, self._nonce = instruments, signer, account, nonce
        self._chain = str(signer.chain_id)
        self._terms = {instrument.id: _signed_in(instrument, terms[instrument.symbol]) for instrument in instruments}

    def encode_new(self, request: OrderRequest, venue_time_ns: int, window_ns: int) -> dict[str, Any]:
        """Body of create_order. venue_time_ns: the venue's UTC now; window_ns: how long what may not rest may live.

        Raises UnsupportedRequest."""
        instrument = self._instrument(request.instrument_id)
        if request.side not in (Side.BUY, Side.SELL):
            raise UnsupportedRequest(f"new order: side {request.side} is neither BUY nor SELL")
        flags = request.exec_flags
        if flags & SELF_TRADE:
            raise UnsupportedRequest("new order: grvt has no self-trade prevention modes to choose from")
        post_only, reduce_only = bool(flags & POST_ONLY), bool(flags & REDUCE_ONLY)
        market = request.order_type == OrderType.MARKET
        if not market and request.order_type != OrderType.LIMIT:
            raise UnsupportedRequest(f"new order: order type {request.order_type} is neither LIMIT nor MARKET")
        word = TIME_IN_FORCE_TEXT.get(request.time_in_force)
        if word is None:
            raise UnsupportedRequest(f"new order: time in force {request.time_in_force} is not known here")
        if market and word == _GOOD_TILL_TIME:
            word = "IMMEDIATE_OR_CANCEL"
        if post_only and (market or word != _GOOD_TILL_TIME):
            raise UnsupportedRequest("new order: post-only goes with a limit price that may rest")
        if word != _GOOD_TILL_TIME:
            expiration_ns = venue_time_ns + window_ns
        elif request.time_in_force == TimeInForce.GTD:
            expiration_ns = request.expire_time_ns
            if not venue_time_ns < expiration_ns <= venue_time_ns + RESTING_LIFE_NS:
                raise UnsupportedRequest("new order: its end is in the past or more than 29 days away")
        else:
            expiration_ns = venue_time_ns + RESTING_LIFE_NS
        asset, size_factor, price_factor = self._terms[request.instrument_id]
        price = 0 if market else request.price
        buying, nonce = request.side == Side.BUY, self._nonce()
        signature = self._signer.sign_order(
            asset,
            request.quantity * size_factor,
            price * price_factor,
            buying,
            market=market,
            time_in_force=TIME_IN_FORCE_CODES[word],
            post_only=post_only,
            reduce_only=reduce_only,
            nonce=nonce,
            expiration_ns=expiration_ns,
        )
        leg: dict[str, Any] = {
            "instrument": instrument.symbol,
            "size": decimal_text(request.quantity, instrument.quantity_scale),
            "limit_price": None if market else decimal_text(price, instrument.price_scale),
            "is_buying_asset": buying,
        }
        return {
            "order": {
                "sub_account_id": self._account,
                "is_market": market,
                "time_in_force": word,
                "post_only": post_only,
                "reduce_only": reduce_only,
                "legs": [leg],
                "signature": {
                    "signer": self._signer.address,
                    "r": signature.r,
                    "s": signature.s,
                    "v": signature.v,
                    "expiration": str(expiration_ns),
                    "nonce": nonce,
                    "chain_id": self._chain,
                },
                "metadata": {"client_order_id": str(request.client_order_id)},
            }
        }

    def encode_cancel(self, request: OrderRequest) -> dict[str, str]:
        """Body of cancel_order, by our id."""
        return {**self.encode_query(request), "time_to_live_ms": TIME_TO_LIVE}

    def encode_query(self, request: OrderRequest) -> dict[str, str]:
        """Body of order, by our id."""
        return {"sub_account_id": self._account, "client_order_id": str(request.client_order_id)}

    @staticmethod
    def encode_call(method: str, body: Mapping[str, Any], identity: int) -> bytes:
        """A call as it goes over a socket; over REST the body goes alone."""
        return orjson.dumps({"jsonrpc": "2.0", "method": method, "params": body, "id": identity})

    def _instrument(self, instrument_id: int) -> OrderInstrument:
        instrument = self._instruments.by_id(instrument_id)
        if instrument is None:
            raise UnsupportedRequest(f"instrument id {instrument_id} is not one of this venue's configured symbols")
        return instrument


def _signed_in(instrument: OrderInstrument, terms: SigningTerms) -> _Terms:
    size, price = terms.base_decimals - instrument.quantity_scale, PRICE_SCALE - instrument.price_scale
    if size < 0 or price < 0:
        raise ConfigurationError(
            f"venues.grvt.symbols: {instrument.symbol} has finer steps than the venue's signatures can hold"
        )
    return _Terms(asset_word(terms.instrument_hash), 10**size, 10**price)
