"""Goal: Eclipse Paho works against Quantum in every version and over every transport. Method: one node, one client per
role, and the order in which messages arrive."""

import socket
import ssl

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.conformance.broker_process import BrokerProcess
from tests.conformance.conftest import Certificates
from tests.conformance.paho_client import PahoClient

VERSIONS = ("v3.1", "v3.1.1", "v5.0")
TRANSPORTS = ("tcp", "tls", "ws")


def connected(
    broker: BrokerProcess, version: str, client_id: str, transport: str, certificates: Certificates
) -> PahoClient:
    """A clean session over a transport."""
    tls = certificates.client_context() if transport == "tls" else None
    client = PahoClient(version, client_id, transport="websockets" if transport == "ws" else "tcp", tls=tls)
    assert 0 == client.connect(broker.ports[transport]).reason_code
    return client


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_messages_arrive_once_and_in_order(
    broker: BrokerProcess, certificates: Certificates, name: str, version: str, transport: str, qos: int
) -> None:
    subscriber = connected(broker, version, f"{name}-s", transport, certificates)
    publisher = connected(broker, version, f"{name}-p", transport, certificates)
    assert [qos] == subscriber.subscribe(f"{name}/+", qos)
    for number in range(20):
        publisher.publish(f"{name}/topic", b"%d" % number, qos)
    publisher.publish(f"{name}/end", b"end", qos)
    got = [subscriber.next_message() for _ in range(21)]
    assert [b"%d" % number for number in range(20)] + [b"end"] == [message.payload for message in got]
    assert {qos} == {message.qos for message in got}
    assert subscriber.messages.empty()
    publisher.disconnect()
    subscriber.disconnect()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_large_payloads_cross_every_transport(
    broker: BrokerProcess, certificates: Certificates, name: str, transport: str
) -> None:
    client = connected(broker, "v5.0", name, transport, certificates)
    client.subscribe(name, 1)
    payload = bytes(range(256)) * 2000
    client.publish(name, payload, 1)
    assert payload == client.next_message().payload
    client.disconnect()


@pytest.mark.parametrize("version", VERSIONS)
def test_retained_message_meets_a_later_subscriber_until_it_is_removed(
    broker: BrokerProcess, name: str, version: str
) -> None:
    publisher = PahoClient(version, f"{name}-p")
    publisher.connect(broker.ports["tcp"])
    publisher.publish(f"{name}/state", b"on", 1, retain=True)
    first = PahoClient(version, f"{name}-1")
    first.connect(broker.ports["tcp"])
    first.subscribe(f"{name}/#", 1)
    message = first.next_message()
    assert (b"on", True) == (message.payload, message.retain)
    publisher.publish(f"{name}/state", b"", 1, retain=True)
    first.next_message()
    second = PahoClient(version, f"{name}-2")
    second.connect(broker.ports["tcp"])
    second.subscribe(f"{name}/#", 1)
    publisher.publish(f"{name}/end", b"end", 1)
    assert b"end" == second.next_message().payload
    for client in (publisher, first, second):
        client.disconnect()


@pytest.mark.parametrize("version", VERSIONS)
def test_will_is_sent_when_the_connection_is_cut_and_not_after_disconnect(
    broker: BrokerProcess, name: str, version: str
) -> None:
    watcher = PahoClient(version, f"{name}-w")
    watcher.connect(broker.ports["tcp"])
    watcher.subscribe(f"{name}/#", 1)
    cut, polite = PahoClient(version, f"{name}-cut"), PahoClient(version, f"{name}-polite")
    cut.will(f"{name}/cut", b"gone", 1)
    polite.will(f"{name}/polite", b"gone", 1)
    cut.connect(broker.ports["tcp"])
    polite.connect(broker.ports["tcp"])
    polite.disconnect()
    cut.cut()
    assert f"{name}/cut" == watcher.next_message().topic
    watcher.publish(f"{name}/end", b"end", 1)
    assert f"{name}/end" == watcher.next_message().topic
    watcher.disconnect()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [1, 2])
def test_persistent_session_resumes_with_what_it_missed(
    broker: BrokerProcess, name: str, version: str, qos: int
) -> None:
    away = PahoClient(version, f"{name}-s", is_clean=False, expiry_s=3600)
    assert not away.connect(broker.ports["tcp"]).is_session_present
    away.subscribe(name, qos)
    away.disconnect()
    publisher = PahoClient(version, f"{name}-p")
    publisher.connect(broker.ports["tcp"])
    for number in range(10):
        publisher.publish(name, b"%d" % number, qos)
    back = PahoClient(version, f"{name}-s", is_clean=False, expiry_s=3600)
    # CONNACK of 3.1 has no Session Present flag; the messages show that the session is there.
    assert (version != "v3.1") is back.connect(broker.ports["tcp"]).is_session_present
    assert [b"%d" % number for number in range(10)] == [back.next_message().payload for _ in range(10)]
    back.unsubscribe(name)
    back.disconnect()
    publisher.disconnect()


@pytest.mark.parametrize("version", ["v3.1.1", "v5.0"])
def test_second_connection_takes_the_session_over(broker: BrokerProcess, name: str, version: str) -> None:
    first = PahoClient(version, name, is_clean=False, expiry_s=60)
    first.connect(broker.ports["tcp"])
    second = PahoClient(version, name, is_clean=False, expiry_s=60)
    assert second.connect(broker.ports["tcp"]).is_session_present
    code = first.wait_disconnected()
    if version == "v5.0":
        assert 0x8E == code  # Session taken over
    second.disconnect()


def test_properties_of_a_message_are_forwarded(broker: BrokerProcess, name: str) -> None:
    client = PahoClient("v5.0", name)
    client.connect(broker.ports["tcp"])
    client.subscribe(name, 1)
    properties = Properties(PacketTypes.PUBLISH)
    properties.ContentType = "application/json"
    properties.ResponseTopic = "answer/here"
    properties.CorrelationData = b"\x00\xff"
    properties.UserProperty = [("a", "1"), ("a", "2"), ("b", "")]
    client.publish(name, b"{}", 1, properties=properties)
    got = client.next_message().properties
    assert got is not None
    assert "application/json" == got.ContentType
    assert "answer/here" == got.ResponseTopic
    assert b"\x00\xff" == got.CorrelationData
    assert [("a", "1"), ("a", "2"), ("b", "")] == got.UserProperty
    client.disconnect()


def test_tls_listener_answers_nothing_without_a_client_certificate(
    broker: BrokerProcess, certificates: Certificates
) -> None:
    connect = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01x"
    with socket.create_connection(("127.0.0.1", broker.ports["tls"]), 10) as plain:
        try:
            with certificates.anonymous_context().wrap_socket(plain, server_hostname="127.0.0.1") as encrypted:
                encrypted.sendall(connect)
                answer = encrypted.recv(100)
        except (ssl.SSLError, ConnectionError):
            answer = b""
    assert b"" == answer


def test_messages_survive_a_killed_broker(own_broker: BrokerProcess, name: str) -> None:
    away = PahoClient("v5.0", f"{name}-s", is_clean=False, expiry_s=3600)
    away.connect(own_broker.ports["tcp"])
    away.subscribe(name, 2)
    away.disconnect()
    publisher = PahoClient("v5.0", f"{name}-p")
    publisher.connect(own_broker.ports["tcp"])
    for number in range(10):
        publisher.publish(name, b"%d" % number, 1 + number % 2)
    own_broker.kill()
    publisher.wait_disconnected()
    own_broker.start()
    back = PahoClient("v5.0", f"{name}-s", is_clean=False, expiry_s=3600)
    assert back.connect(own_broker.ports["tcp"]).is_session_present
    got = [back.next_message() for _ in range(10)]
    # Paho hands a QoS 2 message over at its PUBREL, so the order holds within each QoS.
    assert [b"0", b"2", b"4", b"6", b"8"] == [message.payload for message in got if message.qos == 1]
    assert [b"1", b"3", b"5", b"7", b"9"] == [message.payload for message in got if message.qos == 2]
    back.disconnect()
