"""A bot on nautilus_trader's live node, as its users write one: for bench/tick_to_trade.py, under the peers' Python.

It answers each best price with an immediate-or-cancel limit order. The node is pointed at loopback by the two settings
that its Binance adapter has for that; orders go over REST, its only way. Its own limit of orders a second is lifted and
its logging is off; nothing else is touched.
"""

from __future__ import annotations

import os
import sys

from nautilus_trader.adapters.binance import (
    BINANCE,
    BinanceAccountType,
    BinanceDataClientConfig,
    BinanceExecClientConfig,
    BinanceLiveDataClientFactory,
    BinanceLiveExecClientFactory,
)
from nautilus_trader.config import (
    InstrumentProviderConfig,
    LiveRiskEngineConfig,
    LoggingConfig,
    StrategyConfig,
    TradingNodeConfig,
)
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import OrderSide, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy

TRADED = InstrumentId.from_str("BTCUSDT-PERP.BINANCE")


class Answerer(Strategy):
    def on_start(self) -> None:
        self.instrument = self.cache.instrument(TRADED)
        self.quantity = self.instrument.make_qty(0.01)
        self.subscribe_quote_ticks(TRADED)

    def on_quote_tick(self, tick: QuoteTick) -> None:
        self.submit_order(
            self.order_factory.limit(TRADED, OrderSide.BUY, self.quantity, tick.bid_price, TimeInForce.IOC)
        )


def main(rest: str, stream: str) -> None:
    shared = {
        "api_key": "k" * 64,
        "api_secret": "s" * 64,
        "account_type": BinanceAccountType.USDT_FUTURES,
        "base_url_http": rest,
        "base_url_ws": stream,
        "instrument_provider": InstrumentProviderConfig(load_ids=frozenset([TRADED])),
    }
    node = TradingNode(
        TradingNodeConfig(
            logging=LoggingConfig(log_level=os.environ.get("NAUTILUS_LOG", "ERROR")),
            risk_engine=LiveRiskEngineConfig(max_order_submit_rate="100000/00:00:01"),
            data_clients={BINANCE: BinanceDataClientConfig(**shared)},
            exec_clients={BINANCE: BinanceExecClientConfig(**shared)},
        )
    )
    node.trader.add_strategy(Answerer(StrategyConfig(strategy_id="ANSWERER-001")))
    node.add_data_client_factory(BINANCE, BinanceLiveDataClientFactory)
    node.add_exec_client_factory(BINANCE, BinanceLiveExecClientFactory)
    node.build()
    try:
        node.run()
    finally:
        node.dispose()


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[1])})
    main(sys.argv[2], sys.argv[3])
