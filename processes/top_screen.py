"""How `corelane top` fits its blocks on a terminal of any size.

The rule: as many rows as the terminal has and none wider than it, whatever stands in them; what does not fit is said
("3 more"), never wrapped. On a wide terminal the overview has two columns with everything, on 80 x 24 the half that one
looks at first; each key shows one subject alone, with all its rows. Called by `top.py`; no I/O.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from rich.console import Console
from rich.text import Text

from processes import top_blocks
from processes.health import Look
from processes.health_rules import Severity, is_silent
from processes.history import History
from processes.top_blocks import BAD, GOOD, QUIET, WARN, WIDE, Block, Row

TWO_COLUMNS: Final = 150
"""Columns from which on the overview shows two blocks beside each other."""
SMALLEST: Final = (40, 6)
GAP: Final = 3
SPACE: Final = "  "
"""Between two columns of a table."""
STRETCH_LEAST: Final = 8
PROBLEMS: Final = 8
"""Rows of problems on a narrow terminal, before anything else."""
LEAST: Final = 3
"""Lines of a block that is worth showing: title, heading and a row."""
FEW, MOST = 5, 12
"""Rows of one block in an overview, on a narrow and on a wide terminal."""

Make = Callable[[Look, History], Block]
VIEWS: Final[dict[str, tuple[str, tuple[Make, ...]]]] = {
    "2": ("processes", (lambda look, history: top_blocks.processes(look.snapshot),)),
    "3": (
        "orders",
        (
            lambda look, history: top_blocks.orders(look.snapshot),
            lambda look, history: top_blocks.fills(look.snapshot),
        ),
    ),
    "4": (
        "latency",
        (
            lambda look, history: top_blocks.latency(look.snapshot),
            lambda look, history: top_blocks.stages(look.snapshot),
        ),
    ),
    "5": (
        "limits",
        (
            lambda look, history: top_blocks.limits(look.snapshot),
            lambda look, history: top_blocks.rings(look.snapshot),
            lambda look, history: top_blocks.balances(look.snapshot),
        ),
    ),
    "6": ("problems", (lambda look, history: top_blocks.problems(look.problems),)),
}
"""By key; "1" is the overview."""
HELP: Final = (
    ("1", "overview; on a wide terminal everything"),
    ("2", "processes with their heartbeats, connections and what they say"),
    ("3", "own open orders and the last fills"),
    ("4", "latency of each hop"),
    ("5", "request limits of the venues, rings, balances"),
    ("6", "problems"),
    ("arrows, pages", "move in a list that is longer than the terminal"),
    ("space", "hold the picture, and go on"),
    ("+ and -", "look more often, less often"),
    ("?", "this help; any key leaves it"),
    ("q, Ctrl-C", "end; nothing of the set notices"),
)


@dataclass
class Shown:
    """What the user chose to see."""

    view: str = "1"
    offset: int = 0
    """Rows of a list that are scrolled away."""
    held: bool = False
    interval_s: float = 1.0
    help: bool = False


def lines(look: Look | None, history: History, shown: Shown, width: int, height: int, *, color: bool) -> list[str]:
    """The rows of the terminal, at most `height`, with the escapes that color them."""
    width, height = max(width, SMALLEST[0]), max(height, SMALLEST[1])
    console = Console(width=width, height=height, color_system="standard" if color else None, force_terminal=color)
    room = height - 2
    if shown.help:
        body = _help()
    elif look is None:
        body = [Text(""), Text("The set is not running. Waiting for it to come back ...", WARN)]
    elif shown.view == "1":
        body = _overview(look, history, shown, width, room)
    else:
        body = _alone(look, history, shown, width, room)
    rows = [_head(look, shown, width), *body[:room]]
    rows += [Text("")] * (height - 1 - len(rows))
    with console.capture() as capture:
        for row in [*rows, _foot(shown, width)]:
            row.truncate(width)
            console.print(row, end="\n", no_wrap=True, overflow="crop", crop=True, highlight=False, markup=False)
    return capture.get().splitlines()[:height]


def _head(look: Look | None, shown: Shown, width: int) -> Text:
    if look is None:
        return Text("corelane", "bold") + Text("  not running", BAD)
    snapshot, problems = look.snapshot, look.problems
    worst = BAD if any(one.severity is Severity.CRITICAL for one in problems) else WARN
    kinds = sorted({venue.environment for venue in snapshot.venues})
    ready = sum(line.state in ("READY", "PAUSED") and not is_silent(line) for line in snapshot.processes)
    switch = Text("KILL SWITCH ON", "reverse " + BAD) if snapshot.kill_switch.on else Text("kill switch off", QUIET)
    opened = sum(len(venue.orders) for venue in snapshot.venues)
    parts = [
        Text(f"corelane {snapshot.instance}", "bold"),
        *([Text("HELD", "reverse")] if shown.held else []),
        Text(", ".join(kinds).upper(), "reverse " + BAD if "live" in kinds else QUIET),
        Text(f"{len(problems)} problem{'s' * (len(problems) != 1)}", worst) if problems else Text("healthy", GOOD),
        Text(f"{ready}/{len(snapshot.processes)} ready", "" if ready == len(snapshot.processes) else WARN),
        switch,
        Text(f"{opened} order{'s' * (opened != 1)}"),
    ]
    text = Text("  ").join(parts)
    time = f"{snapshot.time[11:19]} UTC"
    free = width - text.cell_len - len(time)
    return text + Text(" " * free + time, QUIET) if free >= 2 else text


def _foot(shown: Shown, width: int) -> Text:
    text = Text()
    for key, name in (("1", "all"), *((key, name) for key, (name, _) in VIEWS.items()), ("?", "help"), ("q", "quit")):
        chosen = key == shown.view and not shown.help
        text.append(key, "bold").append(" ").append(name, "reverse" if chosen else QUIET).append(" ")
    every = f"{shown.interval_s:g} s"
    return text + Text(" " * max(width - text.cell_len - len(every), 1) + every, QUIET)


def _help() -> list[Text]:
    rows = [Text(""), Text("Keys", "bold")]
    rows += [Text.assemble(f"  {keys:<16}", (what, QUIET)) for keys, what in HELP]
    return rows


# --- what is seen ---------------------------------------------------------------------------------------------------
def _overview(look: Look, history: History, shown: Shown, width: int, room: int) -> list[Text]:
    snapshot = look.snapshot
    first = [top_blocks.problems(look.problems)] if look.problems else []
    trading = [top_blocks.strategies(snapshot, history), top_blocks.markets(snapshot)]
    shown.offset = min(shown.offset, max(len(block.rows) for block in trading))
    trading = [_from(block, min(shown.offset, max(len(block.rows) - 1, 0))) for block in trading]
    unready = [line for line in snapshot.processes if line.state not in ("READY", "PAUSED") or is_silent(line)]
    if width < TWO_COLUMNS:
        rest = [top_blocks.latency(snapshot), top_blocks.orders(snapshot), top_blocks.processes(snapshot)]
        if unready:
            rest.insert(0, rest.pop())
        wrong = _stack(first, width, min(room, PROBLEMS + 2))
        good = _stack([*trading, *rest], width, room - len(wrong) - bool(wrong), most=FEW)
        return [*wrong, Text(""), *good] if wrong else good
    head = _stack([*first, *trading], width, room, most=MOST)
    left_width = (width - GAP) // 2
    below = room - len(head) - 1
    left = [top_blocks.processes(snapshot), top_blocks.limits(snapshot), top_blocks.balances(snapshot)]
    right = [top_blocks.latency(snapshot), top_blocks.orders(snapshot), top_blocks.rings(snapshot)]
    right.append(top_blocks.fills(snapshot))
    columns = [(left, left_width), (right, width - GAP - left_width)]
    one, other = (_stack(blocks, columns_width, below, most=MOST) for blocks, columns_width in columns)
    return [*head, Text(""), *_beside(one, other, left_width)]


def _alone(look: Look, history: History, shown: Shown, width: int, room: int) -> list[Text]:
    """One subject with all its rows; the first of its blocks may be scrolled."""
    blocks = [make(look, history) for make in VIEWS[shown.view][1]]
    most = max(sum(len(block.rows) for block in blocks) - 1, 0)
    shown.offset = min(shown.offset, most)
    skip = shown.offset
    cut: list[Block] = []
    for block in blocks:
        gone = min(skip, len(block.rows))
        skip -= gone
        cut.append(_from(block, gone))
    return _stack(cut, width, room, last=True)


def _from(block: Block, row: int) -> Block:
    return replace(block, rows=block.rows[row:])


def _beside(left: list[Text], right: list[Text], left_width: int) -> list[Text]:
    count = max(len(left), len(right))
    left, right = left + [Text("")] * (count - len(left)), right + [Text("")] * (count - len(right))
    rows = []
    for one, other in zip(left, right, strict=True):
        one = one.copy()
        one.truncate(left_width, pad=True)
        rows.append(one + Text(" " * GAP) + other)
    return rows


def _stack(blocks: list[Block], width: int, room: int, *, most: int = 10_000, last: bool = False) -> list[Text]:
    """Blocks below each other, cut where the room ends, none with more than `most` rows unless room is left over.
    last: rows that are cut are further down, not elsewhere."""
    rows: list[Text] = []
    for block, share in zip(blocks, _shares(blocks, room, most), strict=False):
        if rows:
            rows.append(Text(""))
        rows += _draw(block, width, share, last)
    return rows


def _shares(blocks: list[Block], room: int, most: int) -> list[int]:
    """Lines of each block that has room: first `most` rows at most, then what is left over goes to the earlier ones."""
    shares: list[int] = []
    for block in blocks:
        left = room - sum(shares) - len(shares)  # an empty line between two
        if left < LEAST:
            break
        shares.append(min(left, most + 2, _lines(block)))
    spare = room - sum(shares) - max(len(shares) - 1, 0)
    for place, share in enumerate(shares):
        more = min(spare, _lines(blocks[place]) - share)
        shares[place] += more
        spare -= more
    return shares


def _lines(block: Block) -> int:
    """All of it: title, heading and rows; of an empty one the title, which says so."""
    return len(block.rows) + 2 if block.rows else 1


def _draw(block: Block, width: int, room: int, last: bool) -> list[Text]:
    """One block: its title, and its table cut to the room."""
    title = Text(block.title, "bold")
    if not block.rows:
        return [title + Text(f"  {block.empty}", QUIET)]
    fitting = room - 2
    shown = block.rows if len(block.rows) <= fitting else block.rows[:fitting]
    more = len(block.rows) - len(shown)
    if more:
        title += Text(f"  {more} more, " + (f"press {block.key}" if block.key and not last else "press down"), WARN)
    return [title, *_table(block, shown, width)]


def _table(block: Block, rows: list[Row], width: int) -> list[Text]:
    """Heading and rows. A column is as wide as its widest cell; the stretching one gets what is left, and where that is
    not enough the last ones go: half a number is a wrong number."""
    places = [place for place, one in enumerate(block.columns) if width >= WIDE or not one.wide]
    columns = [block.columns[place] for place in places]
    cells = [[Text(one.name, QUIET) for one in columns]]
    cells += [[cell.copy() if isinstance(cell := row[place], Text) else Text(cell) for place in places] for row in rows]
    widths = [max(row[number].cell_len for row in cells) for number in range(len(columns))]
    free = width - sum(widths) - len(SPACE) * (len(columns) - 1)
    for number, column in enumerate(columns):
        if column.stretch and free < 0:
            widths[number] = max(widths[number] + free, STRETCH_LEAST)
    while len(widths) > 1 and sum(widths) + len(SPACE) * (len(widths) - 1) > width:
        widths.pop()
    lines = []
    for row in cells:
        for number, cell in enumerate(row[: len(widths)]):
            cell.truncate(widths[number], overflow="ellipsis")
            cell.align("right" if columns[number].right else "left", widths[number])
        lines.append(Text(SPACE).join(row[: len(widths)]))
    return lines
