"""Eclipse Paho for Python."""

import queue
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.conformance.clients.client import EXPIRY_S, KEEP_ALIVE_S, WAIT_S, Inbox, Message, Opening

VERSIONS = {
    "3.1": MQTTProtocolVersion.MQTTv31,
    "3.1.1": MQTTProtocolVersion.MQTTv311,
    "5.0": MQTTProtocolVersion.MQTTv5,
}


def client_context(folder: Path) -> ssl.SSLContext:
    """Verifies the broker, and shows the client's certificate."""
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / "client.crt", folder / "client.key")
    return context


def session_properties(opening: Opening) -> Properties:
    """Of CONNECT in 5.0."""
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = EXPIRY_S if opening.is_kept else 0
    return properties


class PahoClient:
    """Paho with its own thread."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._inbox = Inbox()
        self._connected: queue.SimpleQueue[tuple[bool, int]] = queue.SimpleQueue()
        self._subscribed: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._published: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._is_v5 = opening.version == "5.0"
        self._raw = raw = paho.Client(
            CallbackAPIVersion.VERSION2,
            opening.client_id,
            clean_session=None if self._is_v5 else not opening.is_kept,
            protocol=VERSIONS[opening.version],
            transport="websockets" if opening.scheme == "ws" else "tcp",
            reconnect_on_failure=opening.is_returning,
        )
        raw.reconnect_delay_set(1, 1)
        if opening.certificates is not None:
            raw.tls_set_context(client_context(opening.certificates))
        if opening.scheme == "ws":
            raw.ws_set_options(path="/mqtt")
        if opening.will is not None:
            raw.will_set(opening.will.topic_name, opening.will.payload, opening.will.qos, opening.will.retain)
        raw.on_connect = self._on_connect
        raw.on_message = self._on_message
        raw.on_subscribe = self._on_subscribe
        raw.on_publish = lambda _client, _data, mid, _code, _properties: self._published.put(mid)

    def open(self, topic_filter: str = "", qos: int = 0) -> bool | None:
        arguments: dict[str, Any] = {}
        if self._is_v5:
            arguments = {"clean_start": not self._opening.is_kept, "properties": session_properties(self._opening)}
        self._raw.connect("127.0.0.1", self._opening.port, keepalive=KEEP_ALIVE_S, **arguments)
        self._raw.loop_start()
        is_present, code = self._connected.get(timeout=WAIT_S)
        assert 0 == code
        if topic_filter:
            self._raw.subscribe(topic_filter, qos)
            assert qos == self._subscribed.get(timeout=WAIT_S)
        return None if self._opening.version == "3.1" else is_present  # CONNACK of 3.1 has no Session Present

    def publish(self, topic_name: str, payload: bytes, qos: int, retain: bool = False) -> None:
        info = self._raw.publish(topic_name, payload, qos, retain)
        # `wait_for_publish` raises where there is no connection, though Paho keeps the message and sends it later.
        while self._published.get(timeout=WAIT_S) != info.mid:
            pass

    def next_message(self) -> Message:
        return self._inbox.next()

    def disconnect(self) -> None:
        self._raw.disconnect()
        self._raw.loop_stop()

    def cut(self) -> None:
        raw_socket = self._raw.socket()
        assert raw_socket is not None
        self._raw.loop_stop()
        raw_socket.close()

    def close(self) -> None:
        self._raw.disconnect()
        self._raw.loop_stop()

    def _on_connect(self, _client: object, _data: object, flags: Any, code: Any, _properties: object) -> None:
        self._connected.put((flags.session_present, code.value))

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        self._inbox.put(Message(message.topic, bytes(message.payload), message.qos, message.retain))

    def _on_subscribe(self, _client: object, _data: object, _mid: int, codes: list[Any], _properties: object) -> None:
        self._subscribed.put(codes[0].value)


class PahoDriver:
    """Paho has everything."""

    name = "paho-mqtt"
    leaves_with_will: tuple[str, ...] = ()
    lacks: Mapping[tuple[str, str], str] = {}

    def client(self, opening: Opening) -> PahoClient:
        return PahoClient(opening)

    def close(self) -> None:
        """Its clients share nothing."""
