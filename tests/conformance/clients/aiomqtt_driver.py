"""aiomqtt, Paho's asyncio dress."""

import asyncio
import socket
from collections.abc import Mapping
from typing import Any

import aiomqtt

from tests.conformance.clients.client import KEEP_ALIVE_S, WAIT_S, Inbox, Message, Opening
from tests.conformance.clients.event_loop import EventLoop
from tests.conformance.clients.paho_driver import client_context, session_properties

VERSIONS = {
    "3.1": aiomqtt.ProtocolVersion.V31,
    "3.1.1": aiomqtt.ProtocolVersion.V311,
    "5.0": aiomqtt.ProtocolVersion.V5,
}

LEAVES_IT = "aiomqtt leaves connecting again to the application, and says so"


class AiomqttClient:
    """One `async with` of aiomqtt, and a task that reads its messages."""

    def __init__(self, loop: EventLoop, opening: Opening) -> None:
        self._loop = loop
        self._opening = opening
        self._inbox = Inbox()
        self._raw: aiomqtt.Client | None = None
        self._reader: asyncio.Task[None] | None = None

    def open(self, topic_filter: str = "", qos: int = 0) -> bool | None:
        self._loop.run(self._open(topic_filter, qos))
        return None

    def publish(self, topic_name: str, payload: bytes, qos: int, retain: bool = False) -> None:
        assert self._raw is not None
        self._loop.run(self._raw.publish(topic_name, payload, qos, retain))

    def next_message(self) -> Message:
        return self._inbox.next()

    def disconnect(self) -> None:
        assert self._raw is not None
        self._loop.run(self._raw.__aexit__(None, None, None))
        self._raw = None

    def cut(self) -> None:
        assert self._raw is not None
        raw_socket = self._raw._client.socket()
        assert raw_socket is not None
        raw_socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        if self._raw is not None:
            self._loop.run(self._close(self._raw))

    async def _open(self, topic_filter: str, qos: int) -> None:
        opening, will = self._opening, self._opening.will
        is_v5 = opening.version == "5.0"
        session: dict[str, Any] = {"clean_session": not opening.is_kept}
        if is_v5:
            session = {"clean_start": not opening.is_kept, "properties": session_properties(opening)}
        if opening.scheme == "ws":
            session |= {"transport": "websockets", "websocket_path": "/mqtt"}
        self._raw = aiomqtt.Client(
            "127.0.0.1",
            opening.port,
            identifier=opening.client_id,
            protocol=VERSIONS[opening.version],
            will=will and aiomqtt.Will(will.topic_name, will.payload, will.qos, will.retain),
            tls_context=opening.certificates and client_context(opening.certificates),
            timeout=WAIT_S,
            keepalive=KEEP_ALIVE_S,
            **session,
        )
        await self._raw.__aenter__()
        self._reader = asyncio.create_task(self._read(self._raw))
        if topic_filter:
            (code,) = await self._raw.subscribe(topic_filter, qos)
            assert qos == (code if isinstance(code, int) else code.value)

    async def _read(self, raw: aiomqtt.Client) -> None:
        try:
            async for message in raw.messages:
                assert isinstance(message.payload, bytes)
                self._inbox.put(Message(message.topic.value, message.payload, message.qos, message.retain))
        except aiomqtt.MqttError:
            return  # disconnected

    async def _close(self, raw: aiomqtt.Client) -> None:
        try:
            await raw.__aexit__(None, None, None)
        except aiomqtt.MqttError:
            return  # it was lost before


class AiomqttDriver:
    """All clients on one loop."""

    name = "aiomqtt"
    leaves_with_will: tuple[str, ...] = ()
    lacks: Mapping[tuple[str, str], str] = {
        ("", "returns by itself"): LEAVES_IT,
        ("", "publishes on"): LEAVES_IT,
    }

    def __init__(self) -> None:
        self._loop = EventLoop()

    def client(self, opening: Opening) -> AiomqttClient:
        return AiomqttClient(self._loop, opening)

    def close(self) -> None:
        self._loop.close()
