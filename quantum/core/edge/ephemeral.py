"""Queue and inflight of an ephemeral session: they live with its connection, and are owed to nobody after it but to the
other members of a shared group.

Everything that changes what is in flight towards such a client is in this file. Nothing is ever sent twice: a resend
needs a resumed session, and an ephemeral one is never resumed.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final, final

from quantum.core.broker.message import Message
from quantum.core.broker.retained_run import RetainedRun

AWAITING_PUBACK: Final = 1
AWAITING_PUBREC: Final = 2
AWAITING_PUBCOMP: Final = 3


@final
@dataclass(init=False, slots=True, eq=False)
class Queued:
    """A message that waits for its turn."""

    message: Message
    qos: int  # as delivered
    retain: bool
    subscription_ids: tuple[int, ...]
    shared_filter: str  # "" unless the session was chosen from this shared group, and at QoS 0

    def __init__(
        self, message: Message, qos: int, retain: bool, subscription_ids: tuple[int, ...], shared_filter: str
    ) -> None:
        self.message = message
        self.qos = qos
        self.retain = retain
        self.subscription_ids = subscription_ids
        self.shared_filter = shared_filter

    def size(self) -> int:
        """Bytes this counts for in the queue."""
        return len(self.message.payload) + len(self.message.topic_name)


@final
class EphemeralQueue:
    """Messages towards one client: those in flight by Packet Identifier, and those behind them in order."""

    __slots__ = (
        "_last_packet_id",
        "inflight",
        "is_behind",
        "queued_bytes",
        "shares",
        "waiting",
        "waiting_count",
        "window",
    )

    def __init__(self, window: int) -> None:
        self.window = window  # the client's Receive Maximum
        self.inflight: dict[int, int] = {}  # Packet Identifier → what is awaited
        self.shares: dict[int, tuple[str, Message]] | None = None  # in flight at QoS 1 from shared groups: id → whose
        self.waiting: deque[Queued | RetainedRun] | None = None  # made when it is first needed
        self.waiting_count = 0  # of messages; those of the runs as far as they are read
        self.queued_bytes = 0  # without those of the runs, which are kept by the retained store anyway
        self._last_packet_id = 0
        self.is_behind = False  # as the log was told

    def admit(self, qos: int) -> int:
        """A Packet Identifier for a message that may go now; 0 when the window is full. [MQTT-3.3.4-9]"""
        inflight = self.inflight
        if len(inflight) >= self.window:
            return 0
        packet_id = self._last_packet_id
        while True:
            packet_id = packet_id + 1 if packet_id < 65535 else 1
            if packet_id not in inflight:  # [MQTT-2.2.1-3]
                break
        self._last_packet_id = packet_id
        inflight[packet_id] = qos  # QoS 1 awaits PUBACK, QoS 2 PUBREC: the numbers agree
        return packet_id

    def let_go(self, packet_id: int) -> None:
        """The message of this Packet Identifier could not be sent."""
        del self.inflight[packet_id]
        if self.shares is not None:
            self.shares.pop(packet_id, None)

    def remember(self, packet_id: int, shared_filter: str, message: Message) -> None:
        """The message of this Packet Identifier is another member's if it is not acknowledged. 4.8.2"""
        if self.shares is None:
            self.shares = {}
        self.shares[packet_id] = (shared_filter, message)

    def left_by_groups(self) -> list[tuple[str, Message]]:
        """The session has ended: what other members of its shared groups are given instead, in order.

        That is QoS 1 that was never acknowledged, and what was never sent; QoS 2 that is being sent stays with the member
        it was chosen for [MQTT-4.8.2-5].
        """
        left = list(self.shares.values()) if self.shares is not None else []
        for item in self.waiting or ():
            if isinstance(item, Queued) and item.shared_filter:
                left.append((item.shared_filter, item.message))
        return left

    def push(self, queued: Queued) -> None:
        """Put a message behind all others."""
        if self.waiting is None:
            self.waiting = deque()
        self.waiting.append(queued)
        self.waiting_count += 1
        self.queued_bytes += queued.size()

    def push_run(self, run: RetainedRun) -> None:
        """Put retained messages behind all others."""
        if self.waiting is None:
            self.waiting = deque()
        self.waiting.append(run)
        self.waiting_count += len(run)

    def unread(self) -> RetainedRun | None:
        """The run that must be read before anything else can be sent, if there is one."""
        assert self.waiting
        item = self.waiting[0]
        return item if isinstance(item, RetainedRun) and not len(item) else None

    def on_read(self, messages: list[Message]) -> None:
        """What was read for the run that `unread` gave."""
        assert self.waiting
        run = self.waiting[0]
        assert isinstance(run, RetainedRun)
        run.add(messages)
        self.waiting_count += len(messages)
        if run.is_over():
            self.waiting.popleft()

    def first(self) -> Queued:
        """The first waiting message; nothing is to be read before it."""
        assert self.waiting
        item = self.waiting[0]
        if isinstance(item, RetainedRun):
            message = item.first()
            return Queued(message, item.qos_of(message), True, item.subscription_ids, "")
        return item

    def drop_first(self) -> None:
        """The first waiting message waits no more."""
        waiting = self.waiting
        assert waiting
        self.waiting_count -= 1
        item = waiting[0]
        if isinstance(item, RetainedRun):
            item.pop()
            if item.is_over():
                waiting.popleft()
        else:
            waiting.popleft()
            self.queued_bytes -= item.size()

    def has_caught_up(self) -> bool:
        """The log was told that the client is behind, and it is not any more: half of its window is free again."""
        return self.is_behind and not self.waiting and len(self.inflight) <= self.window >> 1

    def is_idle(self) -> bool:
        """Nothing waits, so a message may be sent without overtaking another."""
        return not self.waiting

    def on_puback(self, packet_id: int) -> bool:
        """The exchange ends; False when there is none."""
        if self.inflight.get(packet_id) != AWAITING_PUBACK:
            return False
        del self.inflight[packet_id]
        if self.shares is not None:
            self.shares.pop(packet_id, None)
        return True

    def on_pubrec(self, packet_id: int, is_refused: bool) -> bool:
        """PUBREL may follow, unless the client refused; False when there is no such exchange. 4.3.3"""
        state = self.inflight.get(packet_id)
        if state != AWAITING_PUBREC and state != AWAITING_PUBCOMP:
            return False
        if is_refused:
            del self.inflight[packet_id]
        else:
            self.inflight[packet_id] = AWAITING_PUBCOMP
        return True

    def on_pubcomp(self, packet_id: int) -> bool:
        """The exchange ends; False when there is none. [MQTT-4.3.3-7]"""
        if self.inflight.get(packet_id) != AWAITING_PUBCOMP:
            return False
        del self.inflight[packet_id]
        return True

    def size(self) -> int:
        """Messages owed to the client."""
        return len(self.inflight) + self.waiting_count
