"""The messages a client publishes: drawn from its plan, each with a payload that no other in the run has."""

from typing import final

from quantum.core.mqtt.packets import QOS_1, QOS_2, V5, Publish
from quantum.core.prng import Prng
from quantum.sim.client_plan import ClientPlan
from quantum.sim.published import delete_key


@final
class Publications:
    """Of one client."""

    __slots__ = ("_aliases", "_plan", "_prng", "last_number", "server_alias_max")

    def __init__(self, plan: ClientPlan, prng: Prng) -> None:
        self._plan = plan
        self._prng = prng
        self._aliases: dict[str, int] = {}  # that the server knows, on this connection
        self.last_number = 0
        self.server_alias_max = 0

    def on_connection_ends(self) -> None:
        """Aliases are of a connection."""
        self._aliases = {}

    def draw(self, prng: Prng) -> tuple[Publish | None, bytes]:
        """The next message, and its key. Its number is one more than the last, and counts once it is sent."""
        plan = self._plan
        qos = prng.choice_index(plan.qos_weights)
        is_retained = bool(plan.retained_topics) and prng.chance(plan.retained_share, 100)
        if is_retained:
            topic_name = plan.retained_topics[prng.below(len(plan.retained_topics))]
            # One QoS a topic: a QoS 1 message that is sent again may come behind a later one of QoS 2.
            qos = QOS_1 if topic_name[-1] in "13579" else QOS_2
        elif plan.topics:
            topic_name = plan.topics[prng.below(len(plan.topics))]
        else:
            return None, b""
        number = self.last_number + 1
        key = payload = f"{plan.client_id} {number} ".encode() + bytes(prng.below(plan.payload_bytes_max))
        if is_retained and prng.chance(1, 4):
            key, payload = delete_key(f"{plan.client_id} {topic_name}", number), b""
        packet = Publish(topic_name, payload, qos, is_retained)
        if plan.version == V5:
            if not is_retained and prng.chance(plan.expiry_share, 100):
                packet.message_expiry_s = prng.between(1, 5)
            if prng.chance(plan.properties_share, 100):
                packet.properties = draw_properties(prng)
        return packet, key

    def draw_probe(self) -> tuple[Publish, bytes]:
        """A message of QoS 0."""
        key = f"{self._plan.client_id} {self.last_number + 1} probe".encode()
        return Publish(self._plan.topics[0], key), key

    def draw_stale(self) -> tuple[Publish, bytes]:
        """A message for a connection that was taken over."""
        self.last_number += 1
        key = f"{self._plan.client_id} {self.last_number} stale".encode()
        return Publish(self._plan.topics[0], key, QOS_1, packet_id=1 + self._prng.below(65535)), key

    def with_alias(self, packet: Publish) -> Publish:
        """3.3.2.3.4: the topic of what is sent first may be told by an alias of this connection."""
        if not self.server_alias_max or not self._prng.chance(self._plan.alias_share, 100):
            return packet
        alias = self._aliases.get(packet.topic_name, 0)
        topic_name = "" if alias else packet.topic_name
        if not alias:
            if len(self._aliases) >= self.server_alias_max:
                return packet
            alias = self._aliases[packet.topic_name] = len(self._aliases) + 1
        return Publish(
            topic_name,
            packet.payload,
            packet.qos,
            packet.retain,
            packet_id=packet.packet_id,
            properties=packet.properties,
            message_expiry_s=packet.message_expiry_s,
            topic_alias=alias,
        )


def draw_properties(prng: Prng) -> bytes:
    """A block that is forwarded unaltered: content type, correlation data and user properties. [MQTT-3.3.2-17]"""
    data = b""
    if prng.chance(1, 2):
        data += b"\x03\x00\x04text"
    if prng.chance(1, 2):
        data += b"\x09\x00\x03" + prng.bytes(3)
    for number in range(prng.below(3)):
        data += b"\x26\x00\x01k" + b"\x00\x02" + f"{number:02}".encode()
    return data
