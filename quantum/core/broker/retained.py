"""The retained messages by Topic Name: in a map, and in a tree of levels that answers a wildcard filter by a walk.

Source: MQTT 5.0 §3.3.1.3.
"""

from operator import attrgetter
from typing import final

from quantum.core.broker.message import Message
from quantum.core.broker.queue import size_of
from quantum.core.causes import RETAINED_BYTES_MAX, RETAINED_MESSAGES_MAX, Cause


@final
class _Node:
    __slots__ = ("children", "message")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.message: Message | None = None


@final
class Retained:
    """At most one message for each Topic Name."""

    __slots__ = ("_messages", "_root", "size")

    def __init__(self) -> None:
        self._messages: dict[str, Message] = {}
        self._root = _Node()
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
        self.size += size_of(message) - (0 if held is None else size_of(held))
        self._messages[topic_name] = message
        node = self._root
        for level in topic_name.split("/"):
            child = node.children.get(level)
            if child is None:
                child = node.children[level] = _Node()
            node = child
        node.message = message

    def remove(self, topic_name: str) -> None:
        """Forget the topic's message; it must be there."""
        self.size -= size_of(self._messages.pop(topic_name))
        levels = topic_name.split("/")
        path = [self._root]
        for level in levels:
            path.append(path[-1].children[level])
        path[-1].message = None
        for depth in range(len(levels), 0, -1):
            node = path[depth]
            if node.children or node.message is not None:
                return
            del path[depth - 1].children[levels[depth - 1]]

    def of(self, topic_name: str) -> Message | None:
        """The topic's message."""
        return self._messages.get(topic_name)

    def matching(self, topic_filter: str, now_ms: int) -> list[Message]:
        """The messages a subscription to `topic_filter` is owed, by Topic Name; none that has expired."""
        if "+" in topic_filter or "#" in topic_filter:
            found = self._walk(topic_filter.split("/"))
        else:
            held = self._messages.get(topic_filter)
            found = [] if held is None else [held]
        live = [message for message in found if message.deadline_ms == 0 or message.deadline_ms > now_ms]
        live.sort(key=attrgetter("topic_name"))
        return live

    def is_empty(self) -> bool:
        """Whether neither a message nor a node of the tree is left."""
        return not self._messages and not self._root.children and self.size == 0

    def __len__(self) -> int:
        return len(self._messages)

    def _walk(self, levels: list[str]) -> list[Message]:
        nodes = [self._root]
        for depth, level in enumerate(levels):
            if level == "#":
                return _all_below(nodes, depth == 0)
            deeper: list[_Node] = []
            for node in nodes:
                if level == "+":
                    deeper.extend(_children(node, depth == 0))
                else:
                    child = node.children.get(level)
                    if child is not None:
                        deeper.append(child)
            nodes = deeper
        return [node.message for node in nodes if node.message is not None]


def _all_below(nodes: list[_Node], is_first_level: bool) -> list[Message]:
    """Level by level: a topic may have thousands of them, so there is no recursion, and most nodes are at the end."""
    found = [node.message for node in nodes if node.message is not None]  # `sport/#` also matches `sport`. 4.7.1.2
    level = [child for node in nodes for child in _children(node, is_first_level)]
    while level:
        found += [node.message for node in level if node.message is not None]
        level = [child for node in level if node.children for child in node.children.values()]
    return found


def _children(node: _Node, is_first_level: bool) -> list[_Node]:
    # A filter that starts with a wildcard does not match a Topic Name that starts with `$` [MQTT-4.7.2-1].
    if is_first_level:
        return [child for level, child in node.children.items() if not level.startswith("$")]
    return list(node.children.values())
