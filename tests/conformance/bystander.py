"""Another client of the same broker: whatever a test does to its own connection, this one must not feel it."""

from typing import Self

from tests.conformance import raw
from tests.conformance.raw import Raw

ONCE_MORE = b"the connection from before still works"


class Bystander:
    """A persistent session with a subscription, on a connection of 3.1.1, and a retained message beside it."""

    def __init__(self, broker: raw.Address, name: str) -> None:
        self._broker = broker
        self._client_id = f"{name}-bystander"
        self._topic = f"{name}/bystander"
        self._connection = Raw(broker)
        self._connection.open(4, self._client_id, clean=False)
        self._connection.subscribe((f"{self._topic}/live", 1))
        self._connection.publish(f"{self._topic}/kept", b"kept", qos=1, retain=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def check(self) -> None:
        """A QoS 1 round trip on the old connection, the retained message, and the session for a new connection."""
        self.round_trip(self._connection)
        self._connection.subscribe((f"{self._topic}/kept", 0), packet_id=3)
        kept = self._connection.expect(raw.PUBLISH)
        assert (f"{self._topic}/kept", b"kept", True) == (kept.topic, kept.payload, kept.retain)
        self._connection.expect_silence()
        self._connection.disconnect()
        with Raw(self._broker) as again:
            assert again.open(4, self._client_id, clean=False).session_present
            self.round_trip(again)
            again.disconnect()
        with Raw(self._broker) as end:
            end.open(4, self._client_id)
            end.publish(f"{self._topic}/kept", b"", retain=True)

    def round_trip(self, connection: Raw) -> None:
        """Publish to the subscription at QoS 1, and receive it there."""
        connection.send(raw.publish(4, f"{self._topic}/live", ONCE_MORE, qos=1, packet_id=2))
        came = sorted((connection.read(), connection.read()), key=lambda received: received.type)
        assert [raw.PUBLISH, raw.PUBACK] == [received.type for received in came]
        assert (ONCE_MORE, 1) == (came[0].payload, came[0].qos)
        connection.send(raw.ack(4, raw.PUBACK, came[0].packet_id))
