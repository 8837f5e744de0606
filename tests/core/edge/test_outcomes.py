"""Goal: what operators are told of a client is bounded, whatever the client sent, and a client is told why it is refused.
Method: clients at a node's door."""

from dataclasses import replace

import pytest

from quantum.core.causes import SESSIONS_MAX
from quantum.core.flow import CLIENT_ID_SHOWN_MAX, DETAIL_SHOWN_MAX, RECENT_MAX
from quantum.core.mqtt.packets import V5, V31, V311, Connack, Publish
from quantum.core.node.config import default_policy
from tests.core.node.door import Door


def test_topic_of_64_kib_is_told_in_a_line_of_the_log_and_of_why() -> None:
    door = Door()
    conn_id = door.connect("c")
    for _ in range(RECENT_MAX):
        door.send_packet(conn_id, Publish("$SYS/" + "x" * 65_000, b""))
    recent = door.ask("/why").body["recent"]
    assert RECENT_MAX == len(recent)
    assert {DETAIL_SHOWN_MAX} == {len(outcome["detail"]) for outcome in recent}
    told = [event.fields["detail"] for event in door.events if event.name == "topic_name_invalid"]
    assert RECENT_MAX == len(told)
    assert {DETAIL_SHOWN_MAX} == {len(detail) for detail in told if isinstance(detail, str)}


def test_outcomes_of_a_client_with_a_long_identifier_are_found() -> None:
    door = Door()
    client_id = "c" * (CLIENT_ID_SHOWN_MAX + 1)
    door.cut(door.connect(client_id))
    (outcome,) = door.ask(f"/why/client/{client_id}").body["recent"]
    assert "connection_lost" == outcome["cause"]


@pytest.mark.parametrize(("version", "code"), [(V31, 3), (V311, 3), (V5, SESSIONS_MAX.reason_code)])
def test_client_that_the_log_refuses_a_session_is_told_so_before_it_is_closed(version: int, code: int) -> None:
    """[MQTT-3.1.4-5] speaks of the answer; the refusal comes back from the log, turns after the CONNECT."""
    door = Door(policy=replace(default_policy(), sessions_max=1))
    door.connected("first")
    second = door.connect("second", version)
    (answer,) = door.take(second)
    assert isinstance(answer, Connack)
    assert code == answer.reason_code
    assert [second] == door.closed
