"""Goal: gmqtt, an MQTT 5 client that shares no code with Paho, works against Quantum. Method: publish and subscribe at
every QoS, a will, and a session that resumes."""

import asyncio

import gmqtt
import pytest

from tests.conformance.broker_process import BrokerProcess

WAIT_S = 10


class Client:
    """gmqtt with its messages in a queue."""

    def __init__(self, client_id: str, *, is_clean: bool = True, expiry_s: int = 0, will: gmqtt.Message | None = None):
        self.raw = gmqtt.Client(client_id, clean_session=is_clean, session_expiry_interval=expiry_s, will_message=will)
        self.raw.set_config({"reconnect_retries": 0})
        self.messages: asyncio.Queue[tuple[str, bytes, int]] = asyncio.Queue()
        self.subscribed: asyncio.Queue[tuple[int, ...]] = asyncio.Queue()
        self.raw.on_message = self._on_message
        self.raw.on_subscribe = lambda _client, _mid, qos, _properties: self.subscribed.put_nowait(tuple(qos))

    async def _on_message(self, _client: object, topic: str, payload: bytes, qos: int, _properties: object) -> int:
        self.messages.put_nowait((topic, payload, qos))
        return 0

    async def connect(self, port: int) -> None:
        """Open an MQTT 5 connection."""
        await self.raw.connect("127.0.0.1", port, version=gmqtt.constants.MQTTv50)

    async def subscribe(self, topic_filter: str, qos: int) -> tuple[int, ...]:
        """The reason codes of SUBACK."""
        self.raw.subscribe(topic_filter, qos=qos)
        return await asyncio.wait_for(self.subscribed.get(), WAIT_S)

    async def next_message(self) -> tuple[str, bytes, int]:
        """The next message: topic, payload, QoS."""
        return await asyncio.wait_for(self.messages.get(), WAIT_S)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_messages_arrive_in_order(broker: BrokerProcess, name: str, qos: int) -> None:
    async def story() -> list[tuple[str, bytes, int]]:
        subscriber, publisher = Client(f"{name}-s"), Client(f"{name}-p")
        await subscriber.connect(broker.ports["tcp"])
        await publisher.connect(broker.ports["tcp"])
        assert (qos,) == await subscriber.subscribe(f"{name}/#", qos)
        for number in range(20):
            publisher.raw.publish(f"{name}/a", b"%d" % number, qos=qos)
        got = [await subscriber.next_message() for _ in range(20)]
        await publisher.raw.disconnect()
        await subscriber.raw.disconnect()
        return got

    assert [(f"{name}/a", b"%d" % number, qos) for number in range(20)] == asyncio.run(story())


def test_session_resumes(broker: BrokerProcess, name: str) -> None:
    async def story() -> tuple[str, bytes, int]:
        away = Client(f"{name}-s", is_clean=False, expiry_s=600)
        await away.connect(broker.ports["tcp"])
        await away.subscribe(name, 1)
        await away.raw.disconnect()
        publisher = Client(f"{name}-p")
        await publisher.connect(broker.ports["tcp"])
        watcher = Client(f"{name}-w")
        await watcher.connect(broker.ports["tcp"])
        await watcher.subscribe(name, 1)
        publisher.raw.publish(name, b"missed", qos=1)
        await watcher.next_message()
        back = Client(f"{name}-s", is_clean=False, expiry_s=600)
        await back.connect(broker.ports["tcp"])
        got = await back.next_message()
        for client in (publisher, watcher, back):
            await client.raw.disconnect()
        return got

    assert (name, b"missed", 1) == asyncio.run(story())
