"""Eclipse Paho with what a test waits for: packets that arrived, in order, instead of callbacks."""

import queue
import ssl
from dataclasses import dataclass
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

WAIT_S = 10
VERSIONS = {
    "v3.1": MQTTProtocolVersion.MQTTv31,
    "v3.1.1": MQTTProtocolVersion.MQTTv311,
    "v5.0": MQTTProtocolVersion.MQTTv5,
}


@dataclass
class Connected:
    """The CONNACK."""

    is_session_present: bool
    reason_code: int


class PahoClient:
    """One client that connects, does one thing at a time, and tells what came."""

    def __init__(
        self,
        version: str,
        client_id: str,
        *,
        is_clean: bool = True,
        expiry_s: int = 0,
        transport: str = "tcp",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.version = version
        self.expiry_s = expiry_s
        self.is_clean = is_clean
        is_v5 = version == "v5.0"
        self.raw = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=None if is_v5 else is_clean,
            protocol=VERSIONS[version],
            transport=transport,
            reconnect_on_failure=False,
        )
        if tls is not None:
            self.raw.tls_set_context(tls)
        if transport == "websockets":
            self.raw.ws_set_options(path="/mqtt")
        self.messages: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self._connected: queue.Queue[Connected] = queue.Queue()
        self._subscribed: queue.Queue[list[int]] = queue.Queue()
        self._unsubscribed: queue.Queue[int] = queue.Queue()
        self._disconnected: queue.Queue[int] = queue.Queue()
        self.raw.on_connect = self._on_connect
        self.raw.on_message = lambda _client, _data, message: self.messages.put(message)
        self.raw.on_subscribe = lambda _client, _data, _id, codes, _props: self._subscribed.put(
            [code.value for code in codes]
        )
        self.raw.on_unsubscribe = lambda _client, _data, mid, _codes, _props: self._unsubscribed.put(mid)
        self.raw.on_disconnect = lambda _client, _data, _flags, code, _props: self._disconnected.put(code.value)

    def connect(self, port: int) -> Connected:
        """Open the connection and wait for CONNACK."""
        arguments: dict[str, Any] = {}
        if self.version == "v5.0":
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = self.expiry_s
            arguments = {"clean_start": self.is_clean, "properties": properties}
        self.raw.connect("127.0.0.1", port, keepalive=30, **arguments)
        self.raw.loop_start()
        return self._connected.get(timeout=WAIT_S)

    def subscribe(self, topic_filter: str, qos: int) -> list[int]:
        """The reason codes of SUBACK."""
        self.raw.subscribe(topic_filter, qos)
        return self._subscribed.get(timeout=WAIT_S)

    def unsubscribe(self, topic_filter: str) -> None:
        """Wait for UNSUBACK."""
        self.raw.unsubscribe(topic_filter)
        self._unsubscribed.get(timeout=WAIT_S)

    def publish(
        self, topic_name: str, payload: bytes, qos: int, retain: bool = False, properties: Properties | None = None
    ) -> None:
        """Publish and wait until the broker acknowledged it."""
        info = self.raw.publish(topic_name, payload, qos, retain, properties)
        info.wait_for_publish(WAIT_S)
        assert info.is_published(), f"no acknowledgement for {topic_name}"

    def next_message(self) -> paho.MQTTMessage:
        """The next message, in order of arrival."""
        return self.messages.get(timeout=WAIT_S)

    def disconnect(self) -> None:
        """DISCONNECT in order."""
        self.raw.disconnect()
        self._disconnected.get(timeout=WAIT_S)
        self.raw.loop_stop()

    def wait_disconnected(self) -> int:
        """The reason with which the other side ended the connection."""
        code = self._disconnected.get(timeout=WAIT_S)
        self.raw.loop_stop()
        return code

    def _on_connect(self, _client: object, _data: object, flags: Any, code: Any, _properties: object) -> None:
        self._connected.put(Connected(flags.session_present, code.value))
