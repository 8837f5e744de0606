"""One publication as its publisher knows it. Every payload of a run is unique, so it is the message's key."""

from dataclasses import dataclass, field
from typing import Final, final

DELETE: Final = b"delete "


@final
@dataclass(slots=True, eq=False)
class Published:
    """One publication, from its first sending on."""

    publisher: str
    number: int  # of this publisher, ascending
    topic_name: str
    key: bytes
    qos: int
    retain: bool
    expiry_s: int
    sent_at: int  # the fact's number
    sent_ms: int
    properties: bytes = b""
    connection: int = 0  # of the publisher, on which it was sent first
    size: int = 0  # bytes of topic, payload and properties
    sent_again_ms: int = 0  # its last sending
    send_count: int = 1
    sends: list[int] = field(default_factory=list)  # the fact's number of each sending
    acked_at: int = 0  # 0: never, as far as the publisher knows
    is_refused: bool = False
    never: tuple[str, str] | None = None  # (law, why): it must not be acted on
    is_will: bool = False
    is_probe: bool = False  # QoS 0, sent when nothing was wrong: whoever is connected gets it
    is_repeatable: bool = False  # it was sent again to a session that may be another than it was sent to first

    def __str__(self) -> str:
        return f"number {self.number} of {self.publisher} on {self.topic_name}"

    @property
    def is_delete(self) -> bool:
        """It deletes a retained message."""
        return self.key.startswith(DELETE)

    @property
    def copies_max(self) -> int:
        """So many messages may come of it: a QoS 1 PUBLISH that is sent again is another one to the server. 4.3.2"""
        return self.send_count if self.qos == 1 or self.is_repeatable else 1


def delete_key(topic_name: str, number: int) -> bytes:
    """What stands for the empty payload that deletes a retained message."""
    return DELETE + f"{topic_name} {number}".encode()
