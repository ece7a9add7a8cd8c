"""Imports point one way, one exchange never imports another, and every name of the architecture has its home."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("shm", "exchanges", "strategy", "processes")
MAY_IMPORT = {
    "shm": {"shm"},
    "exchanges": {"shm", "exchanges"},
    "strategy": {"shm", "strategy"},
    "processes": {"shm", "exchanges", "strategy", "processes"},
}
VENUES = ("binance", "deribit", "grvt")

# Names of the original architecture and the module that holds each.
NAMES = {
    "processes.app_service": ["AppService"],
    "processes.config": ["ProcessConfigManager"],
    "processes.log": ["LogManager"],
    "processes.market_server": ["MarketServer"],
    "processes.trading_engine": ["TradingEngine"],
    "processes.position_server": ["PositionServer"],
    "processes.trader": ["Trader"],
    "strategy.container": ["StrategyContainer"],
    "strategy.abstract_strategy": ["AbstractStrategy"],
    "strategy.market_making": ["MarketMakingStrategy"],
    "strategy.mini_oms": ["MiniOMS"],
    "strategy.mini_pms": ["MiniPMS"],
    "strategy.shm_mds_adapter": ["ShmMDSAdapter"],
    "strategy.shm_oms_adapter": ["ShmOMSAdapter"],
    "strategy.shm_pms_adapter": ["ShmPMSAdapter"],
    "exchanges.binance.subscriber": ["BinanceSubscriber"],
    "exchanges.binance.oms": ["BinanceOMS"],
    "exchanges.binance.pms": ["BinancePMS"],
    "exchanges.binance.data_fetcher": ["BinanceDataFetcher"],
    "exchanges.grvt.subscriber": ["GrvtSubscriber"],
    "exchanges.grvt.data_fetcher": ["GrvtDataFetcher"],
    "exchanges.grvt.oms": ["GrvtOMS"],
    "exchanges.grvt.pms": ["GrvtPMS"],
    "exchanges.deribit.subscriber": ["DeribitSubscriber"],
    "exchanges.deribit.oms": ["DeribitOMS"],
    "exchanges.deribit.pms": ["DeribitPMS"],
    "exchanges.deribit.data_fetcher": ["DeribitDataFetcher"],
    "exchanges.http": ["HttpHandler"],
    "exchanges.monitor": ["ExchangeMonitor"],
    "exchanges.factory": ["ExchangeFactory"],
}


def sources(package: str) -> Iterator[Path]:
    for suffix in ("*.py", "*.pyx", "*.pyi", "*.pxd"):
        yield from (ROOT / package).rglob(suffix)


def imported(path: Path) -> set[str]:
    """Full names of the modules that a file imports; Cython's cimports are read line by line."""
    text = path.read_text(encoding="utf-8")
    found: set[str] = set()
    if path.suffix in (".py", ".pyi"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path.relative_to(ROOT)}: relative import"
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
        return found
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] in ("import", "cimport", "from"):
            found.add(words[1])
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package):
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(package)
        for name in imported(path)
        if name.partition(".")[0] in PACKAGES and name.partition(".")[0] not in MAY_IMPORT[package]
    ]
    assert not wrong


def test_one_exchange_never_imports_another():
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for venue in VENUES
        for path in sources(f"exchanges/{venue}")
        for name in imported(path)
        for other in VENUES
        if other != venue and name.startswith(f"exchanges.{other}")
    ]
    assert not wrong


def test_what_venues_share_names_no_venue_at_import_except_the_factory():
    shared = [path for path in (ROOT / "exchanges").glob("*.py") if path.name != "factory.py"]
    shared += list((ROOT / "exchanges" / "simulator").glob("*.py"))
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in shared
        for name in imported(path)
        if name.startswith(tuple(f"exchanges.{venue}" for venue in VENUES))
    ]
    assert not wrong


@pytest.mark.parametrize("module", sorted(NAMES))
def test_every_name_of_the_architecture_has_its_home(module):
    loaded = importlib.import_module(module)
    missing = [name for name in NAMES[module] if not hasattr(loaded, name)]
    assert not missing


def test_no_module_is_called_after_nothing():
    nameless = {"utils", "util", "common", "helpers", "helper", "misc"}
    assert not [path for package in PACKAGES for path in sources(package) if path.stem in nameless]
