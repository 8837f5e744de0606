"""Goal: what Eclipse Paho can do beyond the scenarios that all clients play works against Quantum. Method: one node, one
client per role, packets as Paho hands them over."""

import socket
import ssl

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.conformance.broker_process import BrokerProcess
from tests.conformance.conftest import Certificates
from tests.conformance.paho_client import PahoClient

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
def test_large_payloads_cross_every_transport(
    broker: BrokerProcess, certificates: Certificates, name: str, transport: str
) -> None:
    client = connected(broker, "v5.0", name, transport, certificates)
    client.subscribe(name, 1)
    payload = bytes(range(256)) * 2000
    client.publish(name, payload, 1)
    assert payload == client.next_message().payload
    client.disconnect()


@pytest.mark.parametrize("protocol", ["v3.1.1", "v5.0"])
def test_second_connection_takes_the_session_over(broker: BrokerProcess, name: str, protocol: str) -> None:
    first = PahoClient(protocol, name, is_clean=False, expiry_s=60)
    first.connect(broker.ports["tcp"])
    second = PahoClient(protocol, name, is_clean=False, expiry_s=60)
    assert second.connect(broker.ports["tcp"]).is_session_present
    code = first.wait_disconnected()
    if protocol == "v5.0":
        assert 0x8E == code  # Session taken over
    second.disconnect()


@pytest.mark.parametrize("protocol", ["v3.1", "v3.1.1", "v5.0"])
def test_unsubscribed_topics_are_silent(broker: BrokerProcess, name: str, protocol: str) -> None:
    client = PahoClient(protocol, name[-23:])
    client.connect(broker.ports["tcp"])
    client.subscribe(f"{name}/a", 1)
    client.subscribe(f"{name}/b", 1)
    client.unsubscribe(f"{name}/a")
    client.publish(f"{name}/a", b"unheard", 1)
    client.publish(f"{name}/b", b"heard", 1)
    assert b"heard" == client.next_message().payload
    client.disconnect()


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
