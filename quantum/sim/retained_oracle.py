"""Retained messages as registers, one for each topic: whatever subscribers were told has one order that explains it. M8.

Writes are retained publications; reads are SUBSCRIBEs, which ask for the value at some instant until their SUBACK. That
nothing was there is known only at the end, when everything that was under way has arrived. Source: MQTT 5.0 §3.3.1.3.
"""

from dataclasses import dataclass, field
from typing import Final, final

from quantum.core.mqtt.packets import QOS_0, QOS_2
from quantum.sim.book import Book
from quantum.sim.published import Published
from quantum.sim.registers import ANY, KEEP, NO_LANE, OPEN_END, Operation, RegisterCheck
from quantum.sim.session_page import NOT_GRANTED, Session, Standing
from quantum.sim.topic_match import Matcher

NOTHING: Final = 0  # the value of a topic without retained message


@final
@dataclass(slots=True)
class _Read:
    reader: str
    value: int
    begin: int
    end: int


@final
@dataclass(slots=True, eq=False)
class _Topic:
    name: str
    writes: list[Published] = field(default_factory=list)
    values: dict[bytes, int] = field(default_factory=dict)  # key → number, for all but deletions
    reads: list[_Read] = field(default_factory=list)
    # Session and incarnation → the fact of its last find, and how many it had.
    found: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    is_lossy: bool = False  # some value may get lost on the way to a reader


@final
class RetainedOracle:
    """All topics of a run that were ever published to with RETAIN."""

    __slots__ = ("_armed", "_book", "_matcher", "_topics", "undecided_count")

    def __init__(self, book: Book, matcher: Matcher) -> None:
        self._book = book
        self._matcher = matcher
        self._topics: dict[str, _Topic] = {}
        self._armed: dict[bytes, bool] = {}  # wills of which the client knows that the server has them
        self.undecided_count = 0  # topics whose history is too wide to decide

    def on_write(self, message: Published) -> None:
        """A retained publication, a deletion, or a will with RETAIN may change the topic from here on."""
        topic = self._topics.get(message.topic_name)
        if topic is None:
            topic = self._topics[message.topic_name] = _Topic(message.topic_name)
        topic.writes.append(message)
        topic.is_lossy = topic.is_lossy or message.qos == QOS_0
        if not message.is_delete:
            topic.values[message.key] = len(topic.values) + 1

    def on_will_armed(self, key: bytes) -> None:
        """The CONNACK arrived for the CONNECT that had this will."""
        self._armed[key] = True

    def on_found(self, session: Session, message: Published, is_certain: bool, is_repeated: bool) -> None:
        """A SUBSCRIBE of the session was answered with it; uncertain if it may as well have come live.

        What came with DUP may be an answer that was seen before.
        """
        topic = self._topics[message.topic_name]
        reader = (session.client_id, session.incarnation)
        count = topic.found.get(reader, (0, 0))[1]
        topic.found[reader] = (self._book.clock, count if is_repeated else count + 1)
        asking = [standing for standing in session.matching(message.topic_name) if may_ask(standing)]
        if not asking or not is_certain:
            return
        is_even = all(standing.subscription.qos == asking[0].subscription.qos for standing in asking)
        if count < len(asking) and is_even and not is_repeated:
            asking = asking[count:]  # Answers of one QoS come in their order, at most one of each SUBSCRIBE.
        self._book.sometimes("mqtt.retained.read")
        begin = min(standing.asked_at for standing in asking)
        end = max(standing.begin if standing.begin != OPEN_END else self._book.clock for standing in asking)
        topic.reads.append(_Read(session.client_id, topic.values[message.key], begin, end))

    def on_nothing_more(self, session: Session) -> None:
        """The run is over and the session has got all that was under way: what it did not find was not there."""
        if session.packet_bytes_max or session.is_loose or session.share_group:
            return
        for topic in self._topics.values():
            if topic.is_lossy:
                continue
            found_at = topic.found.get((session.client_id, session.incarnation), (0, 0))[0]
            for standing in session.matching(topic.name):
                if found_at < standing.asked_at and _surely_asked(standing):
                    topic.reads.append(_Read(session.client_id, NOTHING, standing.asked_at, standing.begin))

    def on_last_read(self, session: Session, values: dict[str, bytes]) -> None:
        """A reader that subscribed once, over a connection that held, has got exactly these."""
        for topic in self._topics.values():
            value = values.get(topic.name, b"")
            if value and value not in topic.values:
                continue  # M4 has it.
            for standing in session.matching(topic.name):
                if standing.begin != OPEN_END:
                    number = topic.values[value] if value else NOTHING
                    topic.reads.append(_Read(session.client_id, number, standing.asked_at, standing.begin))

    def finish(self) -> None:
        """Decide every topic."""
        for topic in self._topics.values():
            self._decide(topic)

    def _decide(self, topic: _Topic) -> None:
        read = {one.value for one in topic.reads}
        operations: list[Operation] = []
        lanes: dict[tuple[str, int], int] = {}
        for message in topic.writes:
            value = topic.values.get(message.key, NOTHING)
            lane = lanes.setdefault((message.publisher, message.qos), len(lanes))
            if message.is_will and message.key not in self._armed:
                lane = (
                    NO_LANE  # Its CONNECT may be a stray, that takes the session over and ends long after later ones.
                )
            operations += [
                # What nobody found and nobody must have seen explains nothing.
                operation
                for operation in _writes(message, value, lane)
                if not operation.is_optional or value == NOTHING or value in read
            ]
        self._book.marks.sometimes_if(len(lanes) > 1 and len(topic.reads) > 1, "mqtt.retained.several-writers")
        names = {number: key for key, number in topic.values.items()}
        for one in topic.reads:
            operations.append(Operation(f"SUBSCRIBE of {one.reader}", one.value, KEEP, one.begin, one.end))
        check = RegisterCheck(NOTHING)
        finding = check.run(_apart(operations))
        if check.is_undecided:
            self.undecided_count += 1
            self._book.sometimes("mqtt.retained.undecided")
        if finding is not None:
            held = " or ".join(_name(names, value) for value in finding.values)
            self._book.violate(
                "M8",
                f"{topic.name} held {held} by what was acknowledged and read until then",
                f"{finding.operation.name} found {_name(names, finding.operation.expects)}",
            )


def may_ask(standing: Standing) -> bool:
    """Its SUBSCRIBE may be answered with retained messages. [MQTT-3.3.1-9] to [MQTT-3.3.1-11]"""
    handling = standing.subscription.retain_handling
    return handling == 0 or (handling == 1 and standing.may_be_new)


def _surely_asked(standing: Standing) -> bool:
    return (
        standing.begin != OPEN_END
        and standing.granted not in (NOT_GRANTED, QOS_0)
        and standing.subscription.retain_handling == 0
        and not standing.subscription.retain_as_published
        and not standing.subscription.no_local  # Whether it is about retained messages too, 3.8.3.1 does not say.
    )


def _writes(message: Published, value: int, lane: int) -> list[Operation]:
    """One for each time that the server may have acted on it."""
    if message.is_refused:
        return []
    if message.copies_max == 1:
        end = message.acked_at or OPEN_END
        return [Operation(str(message), ANY, value, message.sent_at, end, lane, is_optional=not message.acked_at)]
    # 4.3.2: what is sent again is another message to the server. The connection before is fenced off. [MQTT-3.1.4-3]
    lane = NO_LANE if message.qos == QOS_2 else lane
    found = [
        Operation(str(message), ANY, value, begin, end, lane, is_optional=True)
        for begin, end in zip(message.sends, message.sends[1:], strict=False)
    ]
    end = message.acked_at or OPEN_END
    if message.qos == QOS_2:
        # A session that was resumed does not act on it again, one that was begun anew does: once at least, at any time.
        found.append(Operation(str(message), ANY, value, message.sends[-1], end, lane, is_optional=True))
        return [
            Operation(str(message), ANY, value, message.sent_at, end, lane, is_optional=not message.acked_at),
            *found,
        ]
    found.append(Operation(str(message), ANY, value, message.sends[-1], end, lane, is_optional=not message.acked_at))
    return found


def _apart(operations: list[Operation]) -> list[Operation]:
    """Give every begin and end a number of its own; of equal ones, beginnings come first."""
    for position, operation in enumerate(operations):
        operation.begin = operation.begin * len(operations) * 2 + position
        if operation.end != OPEN_END:
            operation.end = operation.end * len(operations) * 2 + len(operations) + position
    return operations


def _name(names: dict[int, bytes], value: int) -> str:
    return "nothing" if value == NOTHING else repr(names[value][:24])
