"""Topic Names and Topic Filters: what is well formed, and which filter matches which name. Source: MQTT 5.0 §4.7, §4.8.

Names are compared level by level and character by character; nothing is normalised. [MQTT-4.7.3-4]
"""

from typing import Final

from quantum.core.mqtt.errors import ProtocolError
from quantum.core.mqtt.wire import STRING_BYTES_MAX

SHARE_PREFIX: Final = "$share/"
_NAME_INVALID: Final = 0x90
_FILTER_INVALID: Final = 0x8F


def check_topic_name(topic_name: str) -> None:
    """Raises: ProtocolError (0x90) for a name nothing may be published to."""
    if not topic_name:
        raise ProtocolError("empty Topic Name, allowed 1 character or more", "MQTT-4.7.3-1", _NAME_INVALID)
    if "+" in topic_name or "#" in topic_name:
        raise ProtocolError("Topic Name with a wildcard", "MQTT-3.3.2-2", _NAME_INVALID)
    _check_characters(topic_name, "Topic Name", _NAME_INVALID)


def check_topic_filter(topic_filter: str) -> None:
    """Raises: ProtocolError (0x8F) for a filter nothing may be subscribed with, shared or not."""
    if not topic_filter:
        raise ProtocolError("empty Topic Filter, allowed 1 character or more", "MQTT-4.7.3-1", _FILTER_INVALID)
    _check_characters(topic_filter, "Topic Filter", _FILTER_INVALID)
    shared = parse_shared(topic_filter)
    if shared is not None:
        topic_filter = shared[1]
    if not has_wildcard(topic_filter):
        return
    last = len(topic_filter) - 1
    at = topic_filter.find("#")
    if at >= 0 and (at != last or (at > 0 and topic_filter[at - 1] != "/")):
        raise ProtocolError("Topic Filter with # that is not the whole last level", "MQTT-4.7.1-1", _FILTER_INVALID)
    if topic_filter.count("+") != topic_filter.split("/").count("+"):
        raise ProtocolError("Topic Filter with + that is not a whole level", "MQTT-4.7.1-2", _FILTER_INVALID)


def parse_shared(topic_filter: str) -> tuple[str, str] | None:
    """(ShareName, Topic Filter) of a Shared Subscription, None for any other. Raises: ProtocolError (0x8F)."""
    if not topic_filter.startswith(SHARE_PREFIX):
        if topic_filter == "$share":
            raise ProtocolError("shared Topic Filter without a ShareName", "MQTT-4.8.2-1", _FILTER_INVALID)
        return None
    slash = topic_filter.find("/", len(SHARE_PREFIX))
    group = topic_filter[len(SHARE_PREFIX) :] if slash < 0 else topic_filter[len(SHARE_PREFIX) : slash]
    if not group:
        raise ProtocolError("shared Topic Filter with an empty ShareName", "MQTT-4.8.2-1", _FILTER_INVALID)
    if "+" in group or "#" in group:
        raise ProtocolError("ShareName with a wildcard", "MQTT-4.8.2-2", _FILTER_INVALID)
    if slash < 0 or slash + 1 == len(topic_filter):
        raise ProtocolError("shared Topic Filter without a filter after the ShareName", "MQTT-4.8.2-2", _FILTER_INVALID)
    return group, topic_filter[slash + 1 :]


def has_wildcard(topic_filter: str) -> bool:
    """Whether a well-formed filter can match more than one name."""
    return "+" in topic_filter or "#" in topic_filter


def matches(topic_filter: str, topic_name: str) -> bool:
    """Whether a well-formed filter, without `$share/group/`, matches a well-formed name."""
    if not has_wildcard(topic_filter):
        return topic_filter == topic_name
    if topic_name[0] == "$" and topic_filter[0] != "$":
        return False  # [MQTT-4.7.2-1]
    levels = topic_name.split("/")
    count = len(levels)
    number = 0
    for level in topic_filter.split("/"):
        if level == "#":
            return True  # also of the parent: "sport/#" matches "sport". 4.7.1.2
        if number == count:
            return False
        if level != "+" and level != levels[number]:
            return False
        number += 1
    return number == count


def _check_characters(topic: str, noun: str, reason_code: int) -> None:
    """Raises: ProtocolError for what no UTF-8 Encoded String can carry."""
    if "\x00" in topic:
        raise ProtocolError(f"{noun} with U+0000", "MQTT-4.7.3-2", reason_code)
    try:
        size = len(topic) if topic.isascii() else len(topic.encode("utf-8"))
    except UnicodeEncodeError:
        raise ProtocolError(f"{noun} with a surrogate", "MQTT-1.5.4-1", reason_code) from None
    if size > STRING_BYTES_MAX:
        raise ProtocolError(f"{noun} of {size} bytes, allowed {STRING_BYTES_MAX}", "MQTT-4.7.3-3", reason_code)
