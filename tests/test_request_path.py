"""The package's own code reaches a request ring in one way: runner -> risk gate -> MiniOMS -> adapter -> ring.

Read from the sources, so that a second way cannot be written unnoticed. A strategy's own code is not bound by this, it
shares the process: what holds there is the engine's gate (tests/exchanges/test_forged_requests.py).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
ADAPTER = "strategy/shm_oms_adapter.pyx"
RUNNER = "strategy/strategy_runner.py"
# The only other writers: the rig plays the venue's side of the event ring, the stall points wrap the ring's own calls.
ALLOWED_TO_PUBLISH = {ADAPTER, "strategy/testing.py", "processes/stalls.py", "processes/trading_engine.py"}
ADDS_RISK = {"new", "replace"}


def sources(*packages: str) -> Iterator[tuple[str, str]]:
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py*")):
            if path.suffix in (".py", ".pyx"):
                yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, list[str]]]:
    """Every call with its dotted name, as far as it is one: link.oms.new(...) -> [link, oms, new]."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        parts: list[str] = []
        target: ast.expr = node.func
        while isinstance(target, ast.Attribute):
            parts.insert(0, target.attr)
            target = target.value
        yield node, [target.id, *parts] if isinstance(target, ast.Name) else parts


def test_only_the_adapter_publishes_requests() -> None:
    publishing = {name for name, text in sources("strategy", "processes") if "try_publish" in text}
    assert publishing == ALLOWED_TO_PUBLISH
    event_ring = dict(sources("processes"))["processes/trading_engine.py"]
    assert 'LosslessWriter(service.segment(f"{venue}.events")' in event_ring
    assert 'LosslessWriter(service.segment(f"{venue}.requests")' not in event_ring


def test_only_the_trader_opens_a_request_ring_for_writing_and_gives_it_to_an_adapter_alone() -> None:
    opening = 'LosslessWriter(service.segment(f"{venue}.requests")'
    openers = {name for name, text in sources("strategy", "processes") if opening in text}
    assert openers == {"processes/trader.py"}
    tree = ast.parse(dict(sources("processes"))["processes/trader.py"])
    holders = [
        name[-1] for call, name in calls(tree)
        if any("requests" in ast.dump(one) for one in ast.walk(call) if isinstance(one, ast.JoinedStr))
        and name[-1] not in ("segment", "LosslessWriter", "publishing")
    ]  # fmt: skip
    assert holders == ["ShmOMSAdapter"]


def test_a_new_order_and_a_replace_are_published_only_after_the_gate_was_asked() -> None:
    found = set()
    for name, text in sources("strategy", "processes"):
        if not name.endswith(".py"):
            continue
        for function in ast.walk(ast.parse(text)):
            if not isinstance(function, ast.FunctionDef):
                continue
            inside = list(calls(function))
            for call, dotted in inside:
                if dotted[-2:-1] != ["oms"] or dotted[-1] not in ADDS_RISK:
                    continue
                found.add((name, function.name, dotted[-1]))
                asked = [one.lineno for one, other in inside if other[-2:] == ["risk", "check"]]
                assert asked and min(asked) < call.lineno, f"{name}: {function.name} publishes without asking the gate"
    assert found == {(RUNNER, "submit", "new"), (RUNNER, "replace", "replace")}


def test_compiled_parts_of_the_trader_do_not_publish_by_another_name() -> None:
    """Extension modules could write through the ring's C methods, which no search for Python names finds."""
    for name, text in sources("strategy"):
        if name.endswith(".pyx"):
            assert "shm.ring cimport" not in text, name
