"""gmqtt, an asyncio client that shares no code with Paho."""

import asyncio
from collections.abc import Mapping
from typing import Any

import gmqtt

from tests.conformance.clients.client import EXPIRY_S, KEEP_ALIVE_S, Inbox, Message, Opening
from tests.conformance.clients.event_loop import EventLoop
from tests.conformance.clients.paho_driver import client_context

VERSIONS = {"3.1.1": gmqtt.constants.MQTTv311, "5.0": gmqtt.constants.MQTTv50}


class GmqttClient:
    """gmqtt with its callbacks in queues."""

    def __init__(self, loop: EventLoop, opening: Opening) -> None:
        self._loop = loop
        self._opening = opening
        self._inbox = Inbox()
        self._is_present = False
        self._granted: asyncio.Queue[int] = asyncio.Queue()
        self._raw: gmqtt.Client | None = None

    def open(self, topic_filter: str = "", qos: int = 0) -> bool | None:
        self._loop.run(self._open(topic_filter, qos))
        return self._is_present

    def publish(self, topic_name: str, payload: bytes, qos: int, retain: bool = False) -> None:
        self._loop.run(self._publish(topic_name, payload, qos, retain))

    def next_message(self) -> Message:
        return self._inbox.next()

    def disconnect(self) -> None:
        assert self._raw is not None
        self._loop.run(self._raw.disconnect())
        self._raw = None

    def cut(self) -> None:
        self._loop.run(self._cut())

    def close(self) -> None:
        if self._raw is not None:
            self.disconnect()

    async def _open(self, topic_filter: str, qos: int) -> None:
        opening, will = self._opening, self._opening.will
        arguments: dict[str, Any] = {"clean_session": not opening.is_kept}
        if opening.version == "5.0":
            arguments["session_expiry_interval"] = EXPIRY_S if opening.is_kept else 0
        if will is not None:
            arguments["will_message"] = gmqtt.Message(will.topic_name, will.payload, will.qos, will.retain)
        self._raw = raw = gmqtt.Client(opening.client_id, **arguments)
        raw.set_config({"reconnect_retries": -1 if opening.is_returning else 0, "reconnect_delay": 0.2})
        raw.on_connect = self._on_connect
        raw.on_message = self._on_message
        raw.on_subscribe = lambda _client, _mid, codes, _properties: self._granted.put_nowait(codes[0])
        context = client_context(opening.certificates) if opening.certificates is not None else False
        version = VERSIONS[opening.version]
        await raw.connect("127.0.0.1", opening.port, context, KEEP_ALIVE_S, version)
        if topic_filter:
            raw.subscribe(topic_filter, qos=qos)
            assert qos == await self._granted.get()

    async def _publish(self, topic_name: str, payload: bytes, qos: int, retain: bool) -> None:
        assert self._raw is not None
        self._raw.publish(topic_name, payload, qos=qos, retain=retain)
        await self._raw._persistent_storage.wait_empty()  # no callback tells that a message was acknowledged

    async def _cut(self) -> None:
        assert self._raw is not None
        self._raw._connection._transport.abort()

    def _on_connect(self, _client: object, flags: int, _code: int, _properties: object) -> None:
        self._is_present = bool(flags & 1)

    async def _on_message(self, _client: object, topic: str, payload: bytes, qos: int, properties: Any) -> int:
        self._inbox.put(Message(topic, bytes(payload), qos, bool(properties["retain"])))
        return 0


class GmqttDriver:
    """All clients on one loop."""

    name = "gmqtt"
    leaves_with_will: tuple[str, ...] = ()
    lacks: Mapping[tuple[str, str], str] = {
        ("3.1", ""): "gmqtt speaks 3.1.1 and 5.0 only",
        ("", "websocket"): "gmqtt has no WebSocket transport",
    }

    def __init__(self) -> None:
        self._loop = EventLoop()

    def client(self, opening: Opening) -> GmqttClient:
        return GmqttClient(self._loop, opening)

    def close(self) -> None:
        self._loop.close()
