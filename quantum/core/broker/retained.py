"""The retained messages by Topic Name, and the reading of those that a filter matches, in steps.

Source: MQTT 5.0 §3.3.1.3.
"""

from typing import Final, final

from quantum.core.broker.message import Message
from quantum.core.broker.queue import size_of
from quantum.core.broker.retained_run import ANY_QOS, QOS_0, RetainedCursor
from quantum.core.broker.topic_index import TopicIndex
from quantum.core.causes import RETAINED_BYTES_MAX, RETAINED_MESSAGES_MAX, Cause

READ_STEPS: Final = 1024  # topics looked at in one go: about a millisecond


@final
class Retained:
    """At most one message for each Topic Name."""

    __slots__ = ("_messages", "_topics", "size")

    def __init__(self) -> None:
        self._messages: dict[str, Message] = {}
        self._topics = TopicIndex()
        self.size = 0  # bytes, payload plus topic

    def limit(self, message: Message, messages_max: int, bytes_max: int) -> Cause | None:
        """Which limit keeping `message` would break."""
        if not message.payload:
            return None
        held = self._messages.get(message.topic_name)
        if held is None and len(self._messages) >= messages_max:
            return RETAINED_MESSAGES_MAX
        size = self.size + size_of(message) - (0 if held is None else size_of(held))
        return RETAINED_BYTES_MAX if size > bytes_max else None

    def put(self, message: Message) -> None:
        """Keep `message` in place of the topic's earlier one [MQTT-3.3.1-5]."""
        assert message.payload
        topic_name = message.topic_name
        held = self._messages.get(topic_name)
        if held is None:
            self._topics.add(topic_name)
        else:
            self.size -= size_of(held)
        self.size += size_of(message)
        self._messages[topic_name] = message

    def remove(self, topic_name: str) -> None:
        """Forget the topic's message; it must be there."""
        self.size -= size_of(self._messages.pop(topic_name))
        self._topics.remove(topic_name)

    def of(self, topic_name: str) -> Message | None:
        """The topic's message."""
        return self._messages.get(topic_name)

    def read(self, cursor: RetainedCursor, now_ms: int, steps_max: int) -> tuple[list[Message], int]:
        """The next messages of a cursor, by Topic Name, none that has expired; and how many topics were looked at. There
        may be more where the cursor is not at its end, even if none was found."""
        topic_filter = cursor.topic_filter
        assert cursor.bound is not None
        steps = 1
        if "+" in topic_filter or "#" in topic_filter:
            names, cursor.bound, steps = self._topics.search(topic_filter, cursor.bound, steps_max)
        else:
            names = [topic_filter] if topic_filter in self._messages else []
            cursor.bound = None
        messages = self._messages
        found = [messages[name] for name in names]
        return [message for message in found if _is_owed(message, cursor, now_ms)], steps

    def is_empty(self) -> bool:
        """Whether neither a message nor a name in the index is left."""
        return not self._messages and not len(self._topics) and self.size == 0

    def __len__(self) -> int:
        return len(self._messages)


def _is_owed(message: Message, cursor: RetainedCursor, now_ms: int) -> bool:
    if message.number > cursor.number_max or 0 < message.deadline_ms <= now_ms:
        return False
    if cursor.qos_part != ANY_QOS and (message.qos == 0) != (cursor.qos_part == QOS_0):
        return False
    return not cursor.left_out or message.client_id != cursor.left_out  # [MQTT-3.8.3-3]
