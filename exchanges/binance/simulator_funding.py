"""Funding: what positions pay each other three times a day, as the venue books and tells it.

A long position pays notional * rate at the mark price, a short one receives it. The accounts are told by ACCOUNT_UPDATE
with `m` FUNDING_FEE: of a cross position only the balance, and since 2026-08 the symbol as `S`.

Called by `simulator.py`, when the time has come or an admin says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from exchanges.binance.simulator_frames import text
from exchanges.simulator.exchange import SimulatedExchange
from exchanges.simulator.ledger import Account, money


@dataclass(frozen=True, slots=True)
class FundingPayment:
    """One account's share; `amount` is positive when received."""

    account: str
    symbol: str
    asset: str
    amount: Decimal
    time_ms: int


def settle(exchange: SimulatedExchange, symbol: str, rate: Decimal, now_ms: int) -> list[FundingPayment]:
    """Book the funding of every position in `symbol`."""
    payments = []
    for account in exchange.accounts.values():
        quantity = account.position(symbol).quantity
        if quantity:
            amount = money(-quantity * exchange.mark(symbol) * rate)
            account.fund(symbol, amount)
            payments.append(FundingPayment(account.name, symbol, account.asset, amount, now_ms))
    return payments


def account_update(payment: FundingPayment, account: Account) -> dict[str, Any]:
    wallet = text(account.wallet, 8)
    balance = {"a": payment.asset, "wb": wallet, "cw": wallet, "bc": text(payment.amount, 8)}
    return {
        "e": "ACCOUNT_UPDATE",
        "T": payment.time_ms,
        "E": payment.time_ms,
        "a": {"B": [balance], "P": [], "m": "FUNDING_FEE", "S": payment.symbol},
    }


def income_row(payment: FundingPayment) -> dict[str, Any]:
    """A row of the income call."""
    return {
        "symbol": payment.symbol,
        "incomeType": "FUNDING_FEE",
        "income": text(payment.amount, 8),
        "asset": payment.asset,
        "info": "FUNDING_FEE",
        "time": payment.time_ms,
        "tranId": payment.time_ms,
        "tradeId": "",
    }
