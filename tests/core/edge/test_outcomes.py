"""Goal: what operators are told of a client is bounded, whatever the client sent. Method: clients at a node's door."""

from quantum.core.flow import CLIENT_ID_SHOWN_MAX, DETAIL_SHOWN_MAX, RECENT_MAX
from quantum.core.mqtt.packets import Publish
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
