"""Whether a Topic Filter matches a Topic Name, written apart from the broker's. Source: MQTT 5.0 §4.7."""

from typing import final

SHARE_PREFIX = "$share/"


def is_match(topic_filter: str, topic_name: str) -> bool:
    """The filter may be of a Shared Subscription: then what stands behind the group's name counts."""
    if topic_filter.startswith(SHARE_PREFIX):
        topic_filter = topic_filter.split("/", 2)[2]
    levels = topic_name.split("/")
    wanted = topic_filter.split("/")
    if topic_name.startswith("$") and wanted[0] in ("#", "+"):
        return False  # [MQTT-4.7.2-1]
    for at, level in enumerate(wanted):
        if level == "#":
            return True
        if at >= len(levels) or level not in ("+", levels[at]):
            return False
    return len(wanted) == len(levels)


@final
class Matcher:
    """Remembers answers: a run asks the same few questions thousands of times."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], bool] = {}

    def is_match(self, topic_filter: str, topic_name: str) -> bool:
        """See `is_match`."""
        key = (topic_filter, topic_name)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = is_match(topic_filter, topic_name)
        return known
