"""Goal: the client keeps its session through every flow and connection, and the server to its promises.
Method: scripts against a server written as packets, in all versions."""

import pytest

from quantum.core.mqtt.client import NO_CREDIT, PACKET_TOO_LARGE, ClientConnection, ClientSession
from quantum.core.mqtt.decode import decode_packet
from quantum.core.mqtt.encode import encode_packet
from quantum.core.mqtt.errors import ProtocolError
from quantum.core.mqtt.framer import PACKET_BYTES_LIMIT, Framer
from quantum.core.mqtt.packets import (
    V5,
    V31,
    V311,
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
)
from quantum.core.mqtt.properties import Properties
from tests.conformance.statements import statement

every_version = pytest.mark.parametrize("version", [V31, V311, V5])


def sent(client: ClientConnection) -> list[Packet]:
    """What the client wants to send, as packets."""
    frames = Framer(PACKET_BYTES_LIMIT).feed(client.take_bytes())
    return [decode_packet(client.version, first, body) for first, body in frames]


def serve(client: ClientConnection, *packets: Packet) -> list[Packet]:
    """The server sends these; what the application sees."""
    return client.receive(b"".join(encode_packet(client.version, packet) for packet in packets))


def opened(
    version: int,
    session: ClientSession | None = None,
    *,
    present: bool = False,
    server: Properties | None = None,
    own: Properties | None = None,
    keep_alive_s: int = 60,
) -> ClientConnection:
    """A connection that is accepted, with the CONNECT taken away."""
    client = ClientConnection(version, session or ClientSession())
    client.connect("c", clean_start=session is None, keep_alive_s=keep_alive_s, properties=own)
    assert 1 == len(sent(client))
    assert [Connack(present, 0, server or {})] == serve(client, Connack(present, 0, server or {}))
    return client


@every_version
def test_connect_is_the_first_packet_and_a_refusal_leaves_it_unconnected(version: int) -> None:
    client = ClientConnection(version, ClientSession())
    client.connect("c", clean_start=True, keep_alive_s=5, username="u", password=b"p")
    assert [Connect(version, "c", True, 5, "u", b"p")] == sent(client)
    refused = Connack(False, 0x87 if version == V5 else 5)
    assert [refused] == serve(client, refused)
    assert not client.is_connected
    assert client.failure is None


@every_version
def test_qos_1_is_held_until_puback(version: int) -> None:
    client = opened(version)
    assert (0, 1) == (client.publish("a", b"0"), client.publish("a", b"1", 1))
    assert [Publish("a", b"0"), Publish("a", b"1", 1, packet_id=1)] == sent(client)
    assert [1] == list(client.session.published)
    serve(client, Puback(1))
    assert {} == client.session.published


@every_version
def test_qos_2_goes_through_its_four_steps(version: int) -> None:
    client = opened(version)
    client.publish("a", b"2", 2)
    assert 1 == len(sent(client))
    serve(client, Pubrec(1))
    assert [Pubrel(1)] == sent(client)
    assert ({}, [1]) == (client.session.published, list(client.session.released))
    serve(client, Pubrec(1))
    assert [Pubrel(1)] == sent(client)
    serve(client, Pubcomp(1))
    assert ({}, 65_535) == (client.session.released, client.credit)


@statement("MQTT-2.2.1-3", "311:MQTT-2.3.1-2")
@every_version
def test_a_new_packet_has_an_identifier_that_is_in_no_open_exchange(version: int) -> None:
    """When the numbers begin again, those of a PUBLISH, of a PUBREL and of a SUBSCRIBE are passed over."""
    client = opened(version)
    client.publish("a", b"1", 1)
    client.publish("a", b"2", 2)
    serve(client, Pubrec(2))
    client.subscribe([Subscription("a", 1)])
    client.publish("a", b"4", 1)
    serve(client, Puback(4))
    while client.session.take_packet_id() != 65_535:
        pass
    sent(client)
    assert (4, 5) == (client.publish("a", b"new", 1), client.publish("a", b"newer", 2))
    assert [4, 5] == [packet.packet_id for packet in sent(client) if isinstance(packet, Publish)]


@statement("311:MQTT-2.3.1-3")
@every_version
def test_resumed_session_resends_in_order_with_dup(version: int) -> None:
    session = ClientSession()
    client = opened(version, session)
    for qos in (1, 2, 2, 1):
        client.publish("a", bytes((qos,)), qos)
    serve(client, Pubrec(2), Puback(1))
    client = opened(version, session, present=version != V31)  # 3.1 has no Session Present, and resumes all the same
    expected = [Publish("a", b"\x02", 2, dup=True, packet_id=3), Publish("a", b"\x01", 1, dup=True, packet_id=4)]
    assert [Pubrel(2), *expected] == sent(client)


@statement("MQTT-3.2.2-5")
@pytest.mark.parametrize("version", [V311, V5])
def test_server_without_the_session_makes_the_client_forget(version: int) -> None:
    session = ClientSession()
    opened(version, session).publish("a", b"", 1)
    client = opened(version, session, present=False)
    assert ({}, []) == (session.published, sent(client))


def test_resend_keeps_to_the_new_receive_maximum_and_goes_before_new_messages() -> None:
    session = ClientSession()
    client = opened(V5, session)
    for number in range(3):
        client.publish("a", bytes((number,)), 1)
    client = opened(V5, session, present=True, server={0x21: 1})
    assert [Publish("a", b"\x00", 1, dup=True, packet_id=1)] == sent(client)
    assert NO_CREDIT == client.publish("a", b"new", 1)
    serve(client, Puback(1))
    assert [Publish("a", b"\x01", 1, dup=True, packet_id=2)] == sent(client)
    serve(client, Puback(2), Puback(3))
    assert ([], 1) == (list(session.published), client.credit + len(session.published))


@statement("MQTT-3.3.4-8")
def test_full_receive_maximum_of_the_server_delays_no_other_packet() -> None:
    client = opened(V5, server={0x21: 1})
    assert [1, NO_CREDIT] == [client.publish("a", b"", 1), client.publish("a", b"", 1)]
    assert 2 == client.subscribe([Subscription("a", 0)])
    serve(client, Publish("a", b"in", 1, packet_id=9))
    client.ack(9)
    assert [Publish, Subscribe, Puback] == [packet.__class__ for packet in sent(client)]


def test_receive_maximum_of_the_server_stops_publishing() -> None:
    client = opened(V5, server={0x21: 2})
    assert [1, 2, NO_CREDIT] == [client.publish("a", b"", 1), client.publish("a", b"", 2), client.publish("a", b"", 1)]
    assert 0 == client.publish("a", b"")
    serve(client, Pubrec(2, 0x97))
    assert (3, {}) == (client.publish("a", b"", 1), client.session.released)


def test_own_receive_maximum_is_held_against_the_server() -> None:
    client = opened(V5, own={0x21: 1})
    packets = serve(client, Publish("a", b"", 1, packet_id=1), Publish("a", b"", 1, packet_id=2))
    assert 1 == len(packets)
    assert client.failure is not None
    assert (0x93, [Disconnect(0x93)]) == (client.failure.reason_code, sent(client))
    assert [] == serve(client, Pingresp())


@statement("MQTT-4.5.0-2", "311:MQTT-4.5.0-2")
@every_version
def test_received_messages_are_acknowledged_when_the_application_says_so(version: int) -> None:
    client = opened(version)
    assert 2 == len(serve(client, Publish("a", b"", 1, packet_id=9), Publish("a", b"", 2, packet_id=8)))
    assert [] == sent(client)
    client.ack(9)
    client.ack(8)
    assert [Puback(9), Pubrec(8)] == sent(client)
    serve(client, Pubrel(8))
    assert ([Pubcomp(8)], {}) == (sent(client), client.session.received)


@pytest.mark.parametrize("version", [V311, V5])
def test_qos_2_message_is_seen_once_across_connections(version: int) -> None:
    session = ClientSession()
    client = opened(version, session)
    assert 1 == len(serve(client, Publish("a", b"", 2, packet_id=8)))
    client.ack(8)
    client = opened(version, session, present=True)
    assert [] == serve(client, Publish("a", b"", 2, dup=True, packet_id=8))
    assert [Pubrec(8)] == sent(client)
    serve(client, Pubrel(8))
    assert 1 == len(serve(client, Publish("a", b"", 2, packet_id=8)))


def test_refused_qos_2_message_ends_its_exchange() -> None:
    client = opened(V5)
    serve(client, Publish("a", b"", 2, packet_id=8))
    client.ack(8, 0x97)
    assert ([Pubrec(8, 0x97)], {}) == (sent(client), client.session.received)


def test_pubrel_and_pubrec_of_unknown_ids_are_answered() -> None:
    client = opened(V5)
    serve(client, Pubrel(5), Pubrec(6))
    assert [Pubcomp(5, 0x92), Pubrel(6, 0x92)] == sent(client)


@every_version
def test_requests_are_open_until_their_answer(version: int) -> None:
    client = opened(version)
    assert [1, 2] == [client.subscribe([Subscription("a/#", 1)]), client.unsubscribe(["a/#"])]
    assert [Subscribe(1, [Subscription("a/#", 1)]), Unsubscribe(2, ["a/#"])] == sent(client)
    assert 2 == len(serve(client, Suback(1, [1]), Unsuback(2, [0] if version == V5 else [])))
    assert {} == client.session.requested
    serve(client, Suback(1, [1]))
    assert client.failure is not None
    assert "MQTT-2.2.1-6" == client.failure.statement


def test_packet_ids_are_taken_around_those_in_use_and_run_out() -> None:
    session = ClientSession()
    session.requested = dict.fromkeys(range(1, 65_535), True)
    assert [65_535, 65_535] == [session.take_packet_id(), session.take_packet_id()]
    session.requested[65_535] = True
    assert 0 == session.take_packet_id()
    del session.requested[77]
    assert 77 == session.take_packet_id()


@statement("MQTT-3.1.2-20", "311:MQTT-3.1.2-23")
def test_ping_goes_out_after_the_keep_alive_and_a_silent_server_is_known() -> None:
    client = opened(V5, keep_alive_s=10)
    client.tick(1_000)
    client.publish("a", b"")
    client.tick(5_000)
    assert [Publish("a", b"")] == sent(client)
    client.tick(10_999)
    assert [] == sent(client)
    client.tick(11_000)
    client.tick(12_000)
    assert [Pingreq()] == sent(client)
    assert [False, True] == [client.is_silent(20_999), client.is_silent(21_000)]
    serve(client, Pingresp())
    assert not client.is_silent(21_000)


def test_keep_alive_of_the_server_goes_before_the_own_and_0_sends_nothing() -> None:
    assert 5_000 == opened(V5, server={0x13: 5}).keep_alive_ms
    client = opened(V5, server={0x13: 0})
    client.tick(10_000_000)
    assert [] == sent(client)


def test_topic_aliases_go_out_up_to_the_servers_maximum() -> None:
    client = opened(V5, server={0x22: 1})
    for topic in ("a", "a", "b"):
        client.publish(topic, b"")
    assert [("a", 1), ("", 1), ("b", 0)] == [
        (packet.topic_name, packet.topic_alias) for packet in sent(client) if isinstance(packet, Publish)
    ]


@statement("MQTT-3.3.2-10")
def test_topic_aliases_come_in_and_end_with_the_connection() -> None:
    client = opened(V5, own={0x22: 2})
    first, second = serve(client, Publish("a", b"", topic_alias=2), Publish("", b"", topic_alias=2))
    assert isinstance(first, Publish)
    assert isinstance(second, Publish)
    assert ("a", "a") == (first.topic_name, second.topic_name)
    for alias, reason_code in ((1, 0x82), (3, 0x94)):
        client = opened(V5, own={0x22: 2})
        assert [] == serve(client, Publish("", b"", topic_alias=alias))
        assert client.failure is not None
        assert reason_code == client.failure.reason_code


def test_messages_above_the_servers_maximum_packet_size_are_not_sent() -> None:
    client = opened(V5, server={0x27: 20})
    assert (PACKET_TOO_LARGE, {}) == (client.publish("a", b"x" * 20, 1), client.session.published)
    assert b"" == client.take_bytes()
    assert 0 < client.publish("a", b"x" * 10, 1)


def test_packets_above_the_own_maximum_packet_size_are_refused() -> None:
    client = opened(V5, own={0x27: 20})
    serve(client, Publish("a", b"x" * 20))
    assert client.failure is not None
    assert (0x95, [Disconnect(0x95)]) == (client.failure.reason_code, sent(client))


def test_packet_before_connack_and_second_connack_break_the_protocol() -> None:
    client = ClientConnection(V5, ClientSession())
    client.connect("c", clean_start=True, keep_alive_s=0)
    assert [] == serve(client, Publish("a", b""))
    assert client.failure is not None
    assert "MQTT-3.2.0-1" == client.failure.statement
    client = opened(V5)
    serve(client, Connack(False, 0))
    assert client.failure is not None
    assert "MQTT-3.2.0-2" == client.failure.statement


@statement("MQTT-3.2.2-4")
@pytest.mark.parametrize("version", [V311, V5])
def test_session_that_the_client_did_not_ask_for_breaks_the_protocol(version: int) -> None:
    client = ClientConnection(version, ClientSession())
    client.connect("c", clean_start=True, keep_alive_s=0)
    assert [] == serve(client, Connack(True, 0))
    assert client.failure is not None
    assert ("MQTT-3.2.2-4", False) == (client.failure.statement, client.is_connected)


@pytest.mark.parametrize("packet", [Pingreq(), Subscribe(1, [Subscription("a", 0)]), Unsubscribe(1, ["a"])])
def test_packets_of_clients_are_refused_from_a_server(packet: Packet) -> None:
    client = opened(V5)
    assert [] == serve(client, packet)
    assert client.failure is not None
    assert 0x82 == client.failure.reason_code


def test_wrong_kind_of_acknowledgement_breaks_the_protocol() -> None:
    for qos, answer, broken in ((2, Puback(1), "MQTT-4.3.3-4"), (1, Pubrec(1), "MQTT-4.3.2-3")):
        client = opened(V5)
        client.publish("a", b"", qos)
        serve(client, answer)
        assert client.failure is not None
        assert broken == client.failure.statement


def test_auth_may_come_before_connack_and_disconnect_ends_the_connection() -> None:
    client = ClientConnection(V5, ClientSession())
    client.connect("c", clean_start=True, keep_alive_s=0, properties={0x15: "m"})
    step = Auth(0x18, {0x15: "m"})
    assert [step] == serve(client, step)
    client.auth(0x18, {0x15: "m"})
    assert step == sent(client)[-1]
    client = opened(V5)
    assert [Disconnect(0x8B)] == serve(client, Disconnect(0x8B))
    assert not client.is_connected
    client = opened(V311)
    client.disconnect()
    assert ([Disconnect()], False) == (sent(client), client.is_connected)


def test_bad_topics_are_refused_before_anything_is_sent() -> None:
    client = opened(V5)
    with pytest.raises(ProtocolError):
        client.publish("a/+", b"", 1)
    with pytest.raises(ProtocolError):
        client.subscribe([Subscription("a#", 0)])
    with pytest.raises(ProtocolError):
        client.unsubscribe([""])
    assert (b"", {}, {}) == (client.take_bytes(), client.session.published, client.session.requested)
