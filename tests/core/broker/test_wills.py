"""A will is published once, if and only if the connection ended without grace, after min(delay, session end).

Method: every way a connection can end, against every lifetime of will and session. Source: MQTT 5.0 §3.1.2.5.
"""

import pytest

from quantum.core.broker.commands import CLOSED_NORMALLY, NEVER_S, OpenEdge, SetPolicy
from quantum.core.mqtt.packets import Subscription, Will
from tests.core.broker.tape import BIG, Tape


def _tape() -> Tape:
    tape = Tape()
    tape.open("w")
    tape.subscribe("w", "will")
    return tape


def _will(delay_s: int = 0, payload: bytes = b"gone", qos: int = 1, retain: bool = False) -> Will:
    return Will("will", payload, qos, retain, b"props", delay_s)


@pytest.mark.parametrize(
    ("expiry_s", "delay_s", "due_s"),
    [(0, 0, 0), (0, 30, 0), (60, 0, 0), (60, 30, 30), (60, 60, 60), (60, 90, 60), (NEVER_S, 30, 30)],
)
def test_will_is_published_after_its_delay_or_the_session_end(expiry_s: int, delay_s: int, due_s: int) -> None:
    tape = _tape()
    tape.open("c", expiry_s=expiry_s, will=_will(delay_s))
    tape.cut("c")
    if due_s:
        assert [] == tape.delivered()
        tape.pass_s(due_s - 1)
        assert [] == tape.delivered()
        assert tape.now_ms + 1000 == tape.state.next_deadline_ms()
        tape.pass_s(1)
    assert [("gone", ("w",))] == tape.delivered()
    tape.pass_s(BIG * 24)
    assert [] == tape.delivered()
    assert 1 == tape.count("accepted")


@pytest.mark.parametrize("expiry_s", [0, BIG])
@pytest.mark.parametrize("delay_s", [0, 30])
def test_graceful_disconnect_removes_the_will(expiry_s: int, delay_s: int) -> None:
    tape = _tape()
    tape.open("c", expiry_s=expiry_s, will=_will(delay_s))
    tape.close("c", CLOSED_NORMALLY)
    tape.pass_s(BIG * 2)
    assert 0 == tape.count("accepted")


def test_reconnect_before_the_delay_cancels_the_will() -> None:
    tape = _tape()
    tape.open("c", expiry_s=BIG, will=_will(30))
    tape.cut("c")
    tape.pass_s(29)
    assert tape.open("c", expiry_s=BIG).session_present
    tape.pass_s(60)
    tape.cut("c")
    tape.pass_s(2 * BIG)
    assert 0 == tape.count("accepted")


def test_clean_start_before_the_delay_ends_the_session_and_publishes_the_will() -> None:
    tape = _tape()
    tape.open("c", expiry_s=BIG, will=_will(30))
    tape.cut("c")
    tape.open("c", expiry_s=BIG, clean_start=True)
    assert [("gone", ("w",))] == tape.delivered()


@pytest.mark.parametrize(
    ("expiry_s", "delay_s", "clean_start", "is_published"),
    [
        (0, 0, False, True),
        (0, 30, False, True),
        (BIG, 0, False, True),
        (BIG, 30, False, False),
        (BIG, 0, True, True),
        (BIG, 30, True, True),
    ],
)
def test_will_at_takeover(expiry_s: int, delay_s: int, clean_start: bool, is_published: bool) -> None:
    tape = _tape()
    tape.open("c", expiry_s=expiry_s, will=_will(delay_s, b"old"))
    tape.open("c", expiry_s=expiry_s, clean_start=clean_start, will=_will(0, b"new"))
    assert ([("old", ("w",))] if is_published else []) == tape.delivered()
    tape.cut("c")
    assert [("new", ("w",))] == tape.delivered()
    assert (2 if is_published else 1) == tape.count("accepted")


def test_restart_of_the_edge_publishes_wills_in_the_order_of_client_ids() -> None:
    tape = _tape()
    tape.do(OpenEdge(9, 1, 1))
    for client_id in ("c", "a", "b"):
        tape.open(client_id, edge=9, will=_will(0, client_id.encode()))
    tape.do(OpenEdge(9, 2, 1))
    assert ["a", "b", "c"] == [payload for payload, _ in tape.delivered()]


def test_wills_due_at_once_are_published_in_the_order_of_their_deadlines() -> None:
    tape = _tape()
    for client_id, delay_s in (("b", 20), ("a", 20), ("c", 10)):
        tape.open(client_id, expiry_s=BIG, will=_will(delay_s, client_id.encode()))
        tape.cut(client_id)
    tape.pass_s(30)
    assert ["c", "a", "b"] == [payload for payload, _ in tape.delivered()]


def test_will_carries_what_the_client_gave() -> None:
    tape = _tape()
    will = Will("will", b"p", 2, True, b"props", 0, 60)
    tape.open("c", will=will)
    tape.cut("c")
    [(message, _)] = tape.effects.deliveries
    assert ("will", b"p", 2, True, b"props", 60, "c") == (
        message.topic_name,
        message.payload,
        message.qos,
        message.retain,
        message.properties,
        message.message_expiry_s,
        message.client_id,
    )
    assert tape.now_ms + 60_000 == message.deadline_ms
    assert 1 == tape.state.counts()["retained_messages"]


def test_will_of_a_taken_over_session_reaches_its_own_next_connection() -> None:
    tape = Tape()
    tape.open("c", expiry_s=BIG, will=_will())
    tape.subscribe("c", "will")
    tape.open("c", expiry_s=BIG)
    assert [("c", "gone", 1, 1, False)] == tape.sent()


def test_will_does_not_reach_the_session_it_ends() -> None:
    tape = Tape()
    tape.open("c", expiry_s=10, will=_will(10))
    tape.subscribe("c", Subscription("will", 1))
    tape.cut("c")
    tape.pass_s(10)
    assert 1 == tape.count("accepted")
    assert 0 == tape.count("created")


def test_retained_will_over_the_limit_is_published_and_not_retained() -> None:
    """[MQTT-3.1.2-8]"""
    tape = Tape(SetPolicy(10, 10, 10, 1000, 0, 1000))
    tape.open("w")
    tape.subscribe("w", Subscription("will", 1))
    tape.open("c", will=_will(retain=True))
    tape.cut("c")
    assert [("gone", ("w",))] == tape.delivered()
    assert 1 == tape.count("unretained", "retained_messages_max")
    assert 1 == tape.count("accepted")
    assert 0 == tape.state.counts()["retained_messages"]
    assert tape.state.digest() == tape.restored().digest()


def test_pending_will_survives_a_snapshot() -> None:
    tape = _tape()
    tape.open("c", expiry_s=BIG, will=_will(30))
    tape.cut("c")
    tape.state = tape.restored()
    assert tape.now_ms + 30_000 == tape.state.next_deadline_ms()
    tape.pass_s(30)
    assert [("gone", ("w",))] == tape.delivered()
