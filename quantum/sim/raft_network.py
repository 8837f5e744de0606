"""The peer network of a lite run: messages are lost, late, doubled, out of order, held up, filtered and cut off.

Every directed link draws from a stream of its own, one number a message, so that what happens to the n-th message of a
link depends on nothing else. Cuts, filters and clogs are counters that faults raise and lower; the network knows no
fault by name. Source: FAULTS F1 to F10.
"""

from dataclasses import dataclass
from typing import Final, final

from quantum.core.prng import Prng
from quantum.core.raft.messages import AppendEntries, FetchEntriesReply, Message
from quantum.core.raft.wire import MessageDamaged, decode_message, encode_message
from quantum.sim.raft_laws import broken

LOST: Final = -1
STORM_MESSAGES: Final = 1 << 15
STORM_US: Final = 200_000
NO_COPY: Final[list[int]] = []
_ODD: Final = 0x9E3779B97F4A7C15
_U64_MAX: Final = (1 << 64) - 1
LATE_US_MAX: Final = 60_000_000  # a doubled message may come again much later: F3


@final
@dataclass(slots=True)
class LinkOptions:
    """Drawn once per seed. Times in microseconds, shares of 1024."""

    drop_share: int = 0
    double_share: int = 0
    late_share: int = 0  # of doubled messages, how many come again much later
    delay_us_min: int = 50
    delay_us_mean: int = 1_000  # on top of the least, exponential
    bytes_per_ms: int = 0  # 0: no limit
    queue_us_max: int = 200_000  # a message that would wait longer is dropped
    flip_share: int = 0  # of the encoded ones, which one of 64 messages is, that lose a bit on the way


def exponential(number: int, mean: int) -> int:
    """An exponential delay from one 64-bit number, in whole numbers only: leading zeros count the halvings."""
    high = number >> 32
    halvings = 32 - high.bit_length()
    return (mean * (((halvings << 16) + (number & 0xFFFF)) * 693) >> 16) // 1000


@final
class RaftLink:
    """One direction between two nodes."""

    __slots__ = ("busy_until_us", "clog_count", "clogged", "cut_count", "lifo_us", "prng")

    def __init__(self, prng: Prng) -> None:
        self.prng = prng
        self.cut_count = 0
        self.clog_count = 0
        self.clogged: list[tuple[int, Message]] = []  # held until the clog ends
        self.busy_until_us = 0
        self.lifo_us = 0  # everything sent before this time arrives around it, the last first


@final
class RaftNetwork:
    """All links. `route` says what becomes of a message; the world schedules it."""

    __slots__ = (
        "_counted_us",
        "_links",
        "_prng",
        "double_count",
        "encoded_count",
        "filters",
        "options",
        "reason",
        "refused_count",
        "sent_count",
    )

    def __init__(self, prng: Prng, options: LinkOptions) -> None:
        self._prng = prng
        self._links: dict[int, RaftLink] = {}
        self.options = options
        self.filters: dict[type, int] = {}  # kinds of message that do not pass
        self.sent_count = 0
        self._counted_us = -STORM_US
        self.double_count = 0
        self.encoded_count = 0
        self.refused_count = 0
        self.reason = ""  # why the last message that has no copy has none

    def link(self, sender: int, to: int) -> RaftLink:
        """The link from one node to another; made when first used."""
        key = sender << 32 | to
        found = self._links.get(key)
        if found is None:
            found = self._links[key] = RaftLink(self._prng.stream(f"link-{sender}-{to}"))
        return found

    def links(self) -> list[RaftLink]:
        """All there are."""
        return list(self._links.values())

    def delay_us(self, link: RaftLink, number: int, now_us: int, size: int) -> int:
        """How long a message takes; LOST when the queue of its link is full."""
        options = self.options
        delay_us = options.delay_us_min + exponential(number, options.delay_us_mean)
        if link.lifo_us > now_us:
            # Later messages arrive earlier: 1 second before the burst's end is 1 ms behind it.
            return link.lifo_us - now_us + (link.lifo_us - now_us) // 1000
        if options.bytes_per_ms:
            begin_us = max(now_us, link.busy_until_us)
            if begin_us - now_us > options.queue_us_max:
                return LOST
            link.busy_until_us = begin_us + size * 1000 // options.bytes_per_ms
            delay_us += link.busy_until_us - now_us
        return delay_us

    def route(self, sender: int, incarnation: int, to: int, message: Message, now_us: int) -> list[int]:
        """How long each copy of a message takes; none of a message that is lost or held."""
        link = self._links.get(sender << 32 | to) or self.link(sender, to)
        number = link.prng.u64()
        options = self.options
        self.sent_count += 1
        if self.sent_count & STORM_MESSAGES - 1 == 0:
            if now_us - self._counted_us < STORM_US:
                broken(
                    "R15",
                    f"{STORM_MESSAGES} messages take longer than {STORM_US} us",
                    f"they took {now_us - self._counted_us} us: an answer makes more than one question",
                )
            self._counted_us = now_us
        if link.cut_count or (self.filters and type(message) in self.filters):
            self.reason = "cut off" if link.cut_count else "filtered"
            return NO_COPY
        if link.clog_count:
            self.reason = "held"
            link.clogged.append((incarnation, message))
            return NO_COPY
        if number >> 16 & 1023 < options.drop_share:
            self.reason = "lost"
            return NO_COPY
        if number >> 26 & 63 == 0 and not self._pass_encoded(message, number):
            self.reason = "damaged"
            return NO_COPY
        size = size_of(message) if options.bytes_per_ms else 0
        delay_us = self.delay_us(link, number, now_us, size)
        if delay_us == LOST:
            self.reason = "queue full"
            return NO_COPY
        if options.double_share:
            other = number * _ODD & _U64_MAX
            if other >> 54 < options.double_share:
                self.double_count += 1
                again_us = delay_us + exponential(other * _ODD & _U64_MAX, 4 * options.delay_us_mean)
                if other >> 44 & 1023 < options.late_share:
                    again_us += (other >> 8 & 0xFFFFFFFF) % LATE_US_MAX
                return [delay_us, again_us]
        return [delay_us]

    def route_bulk(self, sender: int, to: int, now_us: int) -> list[int]:
        """The same for a snapshot, which is on a connection of its own: lost or whole."""
        link = self.link(sender, to)
        number = link.prng.u64()
        options = self.options
        if link.cut_count or link.clog_count or number >> 16 & 1023 < options.drop_share:
            return NO_COPY
        delay_us = options.delay_us_min + exponential(number, options.delay_us_mean)
        if number >> 26 & 63 < options.double_share >> 4:
            return [delay_us, 3 * delay_us]
        return [delay_us]

    def _pass_encoded(self, message: Message, number: int) -> bool:
        """Through the bytes and back, now and then with a bit that flips on the way, which the frame around it finds."""
        data = encode_message(message)
        copy = decode_message(data)
        assert copy == message, f"{message} came back as {copy}"
        self.encoded_count += 1
        if number >> 6 & 1023 >= self.options.flip_share:
            return True
        at = number % (8 * len(data))
        damaged = data[: at >> 3] + bytes([data[at >> 3] ^ 1 << (at & 7)]) + data[(at >> 3) + 1 :]
        try:
            decode_message(damaged)
        except MessageDamaged:
            self.refused_count += 1
        return False

    def clog(self, sender: int, to: int) -> None:
        """Hold what is sent in this direction."""
        self.link(sender, to).clog_count += 1

    def unclog(self, sender: int, to: int) -> list[tuple[int, Message]]:
        """(incarnation of the sender, message) that were held, if nothing else holds it."""
        link = self.link(sender, to)
        link.clog_count = max(0, link.clog_count - 1)
        if link.clog_count:
            return []
        held = link.clogged
        link.clogged = []
        return held

    def cut(self, sender: int, to: int) -> None:
        """One more reason why nothing passes in this direction."""
        self.link(sender, to).cut_count += 1

    def heal(self, sender: int, to: int) -> None:
        """One reason less."""
        link = self.link(sender, to)
        link.cut_count = max(0, link.cut_count - 1)  # A full heal may have come before.

    def filter(self, kind: type) -> None:
        """Messages of this kind do not pass."""
        self.filters[kind] = self.filters.get(kind, 0) + 1

    def unfilter(self, kind: type) -> None:
        """They pass, if nothing else holds them back."""
        count = self.filters.get(kind, 0)
        if count > 1:
            self.filters[kind] = count - 1
        else:
            self.filters.pop(kind, None)

    def heal_all(self) -> None:
        """Nothing is cut, clogged, filtered, lost or doubled any more."""
        self.filters = {}
        for link in self._links.values():
            link.cut_count = 0
            link.clog_count = 0
            link.clogged = []
            link.lifo_us = 0


def size_of(message: Message) -> int:
    """About how many bytes it has."""
    if isinstance(message, AppendEntries | FetchEntriesReply):
        return 40 + sum([21 + len(entry.data) for entry in message.entries])
    return 40
