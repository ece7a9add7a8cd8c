"""What may stand in `corelane.toml`, key by key, with units, bounds and defaults.

The rule of this file: types only. A key that is not declared here is a mistake in the file, and every bound that one
key has by itself stands in its `Meta`; what several keys must agree on stands in `config_rules.py`. Every process gets
the same frozen tree, so two processes never read the file differently.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct, field

from shm.layout import INSTANCE_BITS, STRATEGY_BITS

DECIMAL_PATTERN = r"^[0-9]+(\.[0-9]+)?$"

Name = Annotated[
    str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,23}$", description="lower-case letters, digits and -, at most 24")
]
PositiveDecimal = Annotated[str, Meta(pattern=DECIMAL_PATTERN, description='a decimal number as text, like "0.010"')]
SignedDecimal = Annotated[
    str, Meta(pattern=r"^-?[0-9]+(\.[0-9]+)?$", description='a decimal number as text, like "0.010"')
]
Instrument = Annotated[
    str, Meta(pattern=r"^[a-z]+:[A-Za-z0-9_.-]+$", description='"venue:SYMBOL", like "binance:BTCUSDT"')
]
Module = Annotated[
    str, Meta(pattern=r"^[^:]+:[A-Za-z_][A-Za-z0-9_]*$", description='"package.module:Class" or "file.py:Class"')
]
Url = Annotated[
    str,
    Meta(
        pattern=r"^(https?|wss?)://[^\s/@]+(/\S*)?$",
        description="a URL that begins with http://, https://, ws:// or wss:// and holds no user or password",
    ),
]
UrlName = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$", description='the name of a URL, like "alerts", not the URL itself')
]
CredentialsName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,39}$",
        description='the name of a key pair in lower-case letters, like "binance-main", never the key itself',
    ),
]
Slots = Annotated[int, Meta(ge=64, le=1 << 24, description="a power of two from 64 to 16777216")]
Port = Annotated[int, Meta(ge=1, le=65535)]
Milliseconds = Annotated[int, Meta(ge=1, le=3_600_000)]
Fraction = Annotated[float, Meta(gt=0.0, le=1.0, description="a fraction above 0 and at most 1, like 0.02")]
Rate = Annotated[float, Meta(gt=0.0, le=10_000.0)]
Count = Annotated[int, Meta(ge=1, le=10_000)]

OnStart = Literal["adopt", "cancel"]
"""What happens to own orders that are found open at a start: taken over, or canceled."""


class InstanceConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """One running set of processes. Name and number are different for every instance on a host."""

    name: Name = "main"
    """Part of every segment name and of the lock files."""
    number: Annotated[int, Meta(ge=0, lt=1 << INSTANCE_BITS)] = 1
    """Stands in the instance bits of each client order id: two instances on one account never share it."""
    run_dir: str = ""
    """Control sockets and doorbells; gone after a reboot. Empty: $XDG_RUNTIME_DIR/corelane/<name>, else below /run."""
    state_dir: str = ""
    """Journals, epochs, instrument ids, kill switch; must survive. Empty: ~/.local/state/corelane/<name>."""


class CoreConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Where one process runs and how it waits."""

    core: Annotated[int, Meta(ge=0)] | None = None
    """The core that the process is pinned to; absent: the kernel chooses."""
    wait: Literal["spin", "yield", "backoff", "doorbell"] = "backoff"
    """`spin` burns its core for the lowest latency, `backoff` suits shared cores, `doorbell` sleeps until rung."""
    scheduling: Literal["other", "fifo"] = "other"
    priority: Annotated[int, Meta(ge=1, le=99)] = 50
    """Real-time priority, used with scheduling = "fifo" only."""


class RiskConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The engine's own gate, the last one before the wire. Without it a venue takes no orders."""

    max_order_quantity: dict[str, PositiveDecimal]
    """Per symbol, in the venue's quantity unit."""
    max_order_notional: PositiveDecimal
    """Of one order, in the settle currency."""
    max_position: dict[str, PositiveDecimal]
    """Per symbol: largest net position, with everything that is open counted as filled."""
    max_open_orders: Count
    max_orders_per_second: Rate
    collar: Fraction = 0.05
    """Farthest distance of a limit price from the mid of the book table, as a fraction."""


class ExpectConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How the account is expected to be set up at the venue. The engine refuses to start on anything else; nothing is
    ever set."""

    leverage: dict[str, Annotated[int, Meta(ge=1, le=1000)]] = field(default_factory=dict)
    """By symbol; one that is not named may have any."""
    margin_mode: Literal["cross", "isolated"] | None = None
    """Of every symbol; absent: either."""
    multi_assets: bool = False
    """Whether the account margins in several assets together."""


class VenueConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """One exchange: where it is, what is traded there, what the engine allows."""

    symbols: Annotated[list[str], Meta(min_length=1)]
    environment: Literal["simulator", "testnet", "live"] = "simulator"
    i_understand_live_trading: bool = False
    """Must be true where environment is "live"."""
    rest_url: Url | None = None
    stream_url: Url | None = None
    ws_api_url: Url | None = None
    """Absent: the environment's own, which for "simulator" is [simulators.<venue>]."""
    credentials: CredentialsName | None = None
    """Name of a key pair, never the key itself; absent: market data only (simulator: its own pair)."""
    settle_currency: str = "USDT"
    market_ring_slots: Slots = 65536
    request_ring_slots: Slots = 1024
    event_ring_slots: Slots = 8192
    order_path: Literal["websocket", "rest"] = "websocket"
    """`websocket`: orders go over the venue's order socket, and over REST while that is down. `rest`: always REST."""
    receive_window_ms: Annotated[int, Meta(ge=1, le=60_000)] = 5_000
    """How late the venue may still accept a request: after it, an order that nobody knows cannot appear any more."""
    stale_after_ms: Milliseconds = 2_000
    """Data older than this is stale: the book is withdrawn and nothing quotes on it."""
    check_gaps: bool = True
    """GRVT: withdraw a book where a sequence number is missing. False, where its counter turns out to be shared by the
    symbols of a stream: what does not follow is applied and counted."""
    account: Annotated[str, Meta(pattern=r"^[0-9]{0,20}$", description="a number, or nothing")] = ""
    """GRVT: the trading (sub) account of the API key; empty: the one that the login names."""
    requests_per_second: dict[str, Rate] = field(default_factory=dict)
    """GRVT: how many "creates", "cancels" and "queries" the account's tier allows, which the venue does not tell; what
    is not named counts as other clients assume (20, 20, 10)."""
    countdown_ms: Annotated[int, Meta(ge=0, le=3_600_000)] = 60_000
    """The venue's own dead-man's switch: it cancels what we left when it is not refreshed for this long. 0 = off.
    GRVT's cancels everything of the account, orders that others placed there too."""
    raw_market_data: bool = False
    """Deribit: every event instead of one message in 100 ms. The venue wants a login for that, so the market server
    gets the credentials too."""
    login: Literal["signature", "secret"] = "signature"
    """Deribit: how a connection logs in. `signature` never sends the secret and needs a clock that the venue believes
    (client_signature); `secret` sends it (client_credentials)."""
    on_start: OnStart = "cancel"
    expect: ExpectConfig = field(default_factory=ExpectConfig)
    risk: RiskConfig | None = None


class StrategyLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """What one strategy may do; the trader checks it before a request is published."""

    max_order_quantity: PositiveDecimal
    """In base units (the venue's quantity unit)."""
    max_order_notional: PositiveDecimal
    max_position: PositiveDecimal
    max_orders_per_second: Rate
    max_open_orders: Count
    max_loss: PositiveDecimal
    """Dollars of one UTC day, at the worse end of what is open. Beyond it its orders are pulled and only reducing ones
    pass, until `reset-loss`."""
    price_band: Fraction = 0.05
    """Farthest distance of a price from the mid, as a fraction."""


class StrategyConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """One strategy of the trader."""

    id: Annotated[int, Meta(ge=1, lt=1 << STRATEGY_BITS)]
    """Stands in each of its client order ids, so that strays find their owner. Never give it to another strategy."""
    name: Name
    module: Module
    instruments: Annotated[list[Instrument], Meta(min_length=1)]
    limits: StrategyLimits
    parameters: dict[str, Any] = field(default_factory=dict)
    """Checked by the strategy's own parameter struct when it is loaded."""
    on_start: OnStart = "cancel"


class TraderConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The one trader."""

    heartbeat_timeout_ms: Annotated[int, Meta(ge=300, le=60_000)] = 2_000
    """Engines cancel all orders of this instance when the trader was silent for longer."""
    restart_limit_ms: Annotated[int, Meta(ge=300, le=60_000)] = 10_000
    """... and for longer than this where it had said that it restarts: a planned restart keeps its orders so long."""
    request_deadline_ms: Annotated[int, Meta(ge=1, le=60_000)] = 500
    """A request that the engine has not sent by then is refused instead of sent late."""
    callback_budget_us: Annotated[int, Meta(ge=1, le=10_000_000)] = 5_000
    """A callback of a strategy that takes longer is named in the log: everything else of the trader waited for it."""


class SimulatorConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The embedded venue: its real protocol on a loopback port."""

    port: Port
    host: Literal["127.0.0.1", "::1", "localhost"] = "127.0.0.1"
    """Loopback only: the simulator accepts keys that everybody knows."""
    seed: Annotated[int, Meta(ge=0, lt=1 << 62)] = 1
    """Of the generated market flow, which repeats for the same seed."""
    recording: str | None = None
    """A file of recorded frames to play instead of the generator."""
    speed: Annotated[float, Meta(gt=0.0, le=1000.0)] = 1.0
    """Of a recording: 2.0 plays it in half the time."""
    wallet_balance: PositiveDecimal = "100000"
    """In dollars; on Deribit that much in each of its currencies."""
    maker_fee: SignedDecimal = "0.0002"
    taker_fee: SignedDecimal = "0.0005"
    """Fee rates as fractions of notional; a rebate is negative."""
    option_chain: bool = False
    """Deribit: list two dated futures and a small chain of options beside each inverse perpetual."""


class LogConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Logs of all processes."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    directory: str = ""
    """One JSON-lines file per process. Empty: <state_dir>/log."""
    file_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that a process writes into its own file. "warning" spares hot cores, where the logger runs."""
    journald: Literal["auto", "on", "off"] = "auto"
    """Whether the logger also sends every line to the systemd journal; auto: where systemd started it."""


class ObserversConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Processes beside the trading set: they read along, and nobody waits for them."""

    logger: bool = False
    """All processes' lines in one file, corelane.log in the log directory, and in the journal."""
    recorder: bool = False
    """All records of all rings, in files for research."""
    monitor: bool = False
    """Metrics, health, a web page on loopback, and alerts."""


class RecorderConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the recorder writes and how much it keeps."""

    directory: str = ""
    """Empty: <state_dir>/recordings."""
    file_megabytes: Annotated[int, Meta(ge=1, le=65_536)] = 1_024
    """A new file is begun at this size."""
    keep_megabytes: Annotated[int, Meta(ge=1)] = 51_200
    """Of all files together; the oldest are removed."""


class MonitorConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What the monitor serves, and whom it tells."""

    port: Port = 9464
    host: Literal["127.0.0.1", "::1", "localhost"] = "127.0.0.1"
    """Loopback only: it asks nobody who he is. From elsewhere: an ssh tunnel."""
    webhook: UrlName | None = None
    """Name of a URL, never the URL itself (it holds a token mostly); absent: none. Problems are posted there as JSON
    when they begin and end."""
    command: list[str] = field(default_factory=list)
    """A program and its arguments that gets the same JSON on its standard input. Empty: none."""
    least_severity: Literal["warning", "critical"] = "warning"
    """What is told; the page, /status and `corelane top` show all."""
    min_interval_s: Annotated[float, Meta(ge=0.0, le=86_400.0)] = 10.0
    """Least time between two messages; what comes meanwhile goes into one."""


OBSERVERS: Final = ("logger", "recorder", "monitor")
"""In the order in which they start: before all others, so that they miss nothing."""


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    venues: dict[str, VenueConfig]
    instance: InstanceConfig = field(default_factory=InstanceConfig)
    cores: dict[str, CoreConfig] = field(default_factory=dict)
    """By process name, like "market_server.binance" or "trader"."""
    trader: TraderConfig = field(default_factory=TraderConfig)
    strategies: list[StrategyConfig] = field(default_factory=list)
    simulators: dict[str, SimulatorConfig] = field(default_factory=dict)
    log: LogConfig = field(default_factory=LogConfig)
    observers: ObserversConfig = field(default_factory=ObserversConfig)
    recorder: RecorderConfig = field(default_factory=RecorderConfig)
    monitor: MonitorConfig = field(default_factory=MonitorConfig)
    path: str = ""
    """The file this came from; set by load_config, not a key."""

    def core(self, process: str) -> CoreConfig:
        """Placement of a process; the default one where [cores] does not name it."""
        return self.cores.get(process, CoreConfig())

    def processes(self) -> list[str]:
        """Names of all processes that this file asks for, in the order in which they start."""
        names = [f"simulator.{venue}" for venue in self.simulators]
        for role in ("market_server", "trading_engine", "position_server"):
            names += [f"{role}.{venue}" for venue in self.venues]
        observers = [name for name in OBSERVERS if getattr(self.observers, name)]
        return [*observers, *names, "trader"]
