"""The protocol of shm/ring.pyx in every state of a small case, and the checker proven by what it finds."""

from __future__ import annotations

import pytest

from tests.shm.ring_model import BROADCAST_WEAKENINGS, HARMLESS_ALONE, WEAKENINGS, Checker, Violation

CASES = {
    "two readers": Checker(("reader", "reader")),
    "two readers, writer killed": Checker(("reader", "reader"), kill_writer=True),
    "reader, writer killed twice": Checker(("reader",), kill_writer=True, kills=2),
    "requests, writer killed": Checker(("requests", "observer"), kill_writer=True),
    "requests, consumer killed": Checker(("requests", "observer"), kill_consumer=True),
    "events, writer killed": Checker(("events", "observer"), kill_writer=True),
    "events, consumer killed": Checker(("events", "observer"), kill_consumer=True),
    "requests, both killed": Checker(("requests",), kill_writer=True, kill_consumer=True, kills=2),
    "events, both killed": Checker(("events",), kill_writer=True, kill_consumer=True, kills=2),
}


def found(*weak: str) -> dict[str, str]:
    """{case: what the search found}, over all cases of the smaller kind."""
    result = {}
    for name in ("reader, writer killed twice", "requests, both killed", "events, both killed"):
        case = CASES[name]
        checker = Checker(case.roles, frozenset(weak), case.kill_writer, case.kill_consumer, case.kills)
        try:
            checker.run()
        except Violation as violation:
            result[case.roles[0]] = str(violation).split(":")[0]
    return result


@pytest.mark.parametrize("name", CASES)
def test_the_protocol_keeps_its_promises_in_every_state(name: str) -> None:
    assert CASES[name].run() > 100


# What each weakening leads to, by whom it is found. A reader of a broadcast ring finds every weakened order of a slot
# and every weakened rule for a restarted writer; what only a consumer can find, one finds.
EXPECTED = {
    "no invalidate": {"reader": {"torn", "stale"}},
    "relaxed invalidate": {"reader": {"overwritten"}},
    "no release fence": {"reader": {"torn", "stale"}},
    "relaxed publish": {"reader": {"torn", "stale"}},
    "publish before copy": {"reader": {"torn", "stale"}},
    "relaxed first load": {"reader": {"torn", "stale"}},
    "no acquire fence": {"reader": {"torn", "stale"}},
    "no second look": {"reader": {"torn", "stale"}},
    "restart from the cursor": {"reader": {"overwritten"}},
    "restart counts busy": {"reader": {"stuck"}},
    "restart finishes busy": {"reader": {"torn", "stale"}},
    "no tail check": {"requests": {"overwritten"}, "events": {"overwritten"}},
    "commit after send": {"requests": {"sent twice"}},
    "commit before apply": {"events": {"not applied"}},
}


@pytest.mark.parametrize("weakening", WEAKENINGS)
def test_each_weakened_order_or_crash_rule_is_found(weakening: str) -> None:
    violations = found(weakening)
    for role, kinds in EXPECTED[weakening].items():
        assert violations[role] in kinds
    assert set(violations) >= ({"reader"} if weakening in BROADCAST_WEAKENINGS else set())


@pytest.mark.parametrize("weakening", HARMLESS_ALONE)
def test_what_the_argument_calls_a_hint_or_a_second_line_is_one(weakening: str) -> None:
    assert found(weakening) == {}


@pytest.mark.parametrize(
    ("tail", "slot"), [("relaxed tail store", "no acquire fence"), ("relaxed tail load", "no release fence")]
)
def test_a_consumer_is_safe_with_one_of_its_two_lines_and_not_without_both(tail: str, slot: str) -> None:
    assert "requests" not in found(slot)
    assert found(tail, slot)["requests"] in ("torn", "stale", "overwritten")


def test_every_weakening_is_expected_to_be_found() -> None:
    assert set(EXPECTED) == set(WEAKENINGS)
