"""Frames between nodes: lost, late, twice, out of order, from long ago, with a bit turned, and cut off by partitions.

Every directed link draws from its own stream, so what one link does leaves all others as they were. A frame is opaque
bytes; its sender is on the envelope inside and is not told by the network. Source: FAULTS F1 to F11.
"""

from dataclasses import dataclass
from typing import Final, final

from quantum.core.prng import Prng
from quantum.sim.scheduler import PEER_FRAME, Scheduler

KEPT_MAX: Final = 32  # old frames of a link that may come again


@final
@dataclass(slots=True)
class PeerOptions:
    """Drawn once per seed. Times in microseconds, shares of 1000."""

    delay_us_min: int = 100
    delay_us_max: int = 1_000
    drop_share: int = 0
    duplicate_share: int = 0
    replay_share: int = 0  # frames of which an older one of the same link comes again
    replay_us_max: int = 60_000_000
    spike_share: int = 0
    spike_us_max: int = 200_000
    flip_share: int = 0  # frames that arrive with one bit turned
    is_reordering: bool = False  # else a link is first in first out


@final
@dataclass(slots=True)
class PeerFrame:
    """A frame under way. `event` is its number in the history of the run, 0 where nobody keeps one."""

    sender: int
    receiver: int
    data: bytes
    event: int
    is_replay: bool = False  # of long ago, perhaps from a process that is gone


@final
class PeerLink:
    """One direction between two nodes."""

    __slots__ = (
        "bytes_per_ms",
        "clog_count",
        "cut_count",
        "extra_us",
        "held",
        "is_reversing",
        "kept",
        "last_us",
        "prng",
        "queue_bytes_max",
        "sent_us",
    )

    def __init__(self, prng: Prng) -> None:
        self.prng = prng
        self.cut_count = 0  # partitions that lie over it
        self.clog_count = 0
        self.held: list[PeerFrame] = []  # while it is clogged
        self.is_reversing = False  # what was held comes last in first out
        self.extra_us = 0
        self.bytes_per_ms = 0  # 0: no limit
        self.queue_bytes_max = 0
        self.sent_us = 0  # when a link of limited width has sent all it was given
        self.last_us = 0  # when its last frame arrives
        self.kept: list[PeerFrame] = []

    def speed_up(self) -> None:
        """No delay beyond the usual."""
        self.extra_us = 0

    def widen(self) -> None:
        """As many bytes as there are."""
        self.bytes_per_ms = 0


@final
class PeerNetwork:
    """All links between nodes."""

    __slots__ = (
        "_links",
        "_options",
        "_prng",
        "_scheduler",
        "byte_count",
        "cut_count",
        "drop_count",
        "duplicate_count",
        "flip_count",
        "frame_count",
        "is_calm",
    )

    def __init__(self, prng: Prng, options: PeerOptions, scheduler: Scheduler) -> None:
        self._prng = prng
        self._options = options
        self._scheduler = scheduler
        self._links: dict[tuple[int, int], PeerLink] = {}
        self.is_calm = False
        self.frame_count = 0
        self.byte_count = 0
        self.drop_count = 0
        self.duplicate_count = 0
        self.flip_count = 0
        self.cut_count = 0

    def link(self, sender: int, receiver: int) -> PeerLink:
        """One direction between two nodes."""
        found = self._links.get((sender, receiver))
        if found is None:
            found = self._links[sender, receiver] = PeerLink(self._prng.stream(f"link {sender} {receiver}"))
        return found

    def send(self, frame: PeerFrame) -> bool:
        """A frame leaves its sender. False when it is lost on the way."""
        options = self._options
        link = self.link(frame.sender, frame.receiver)
        self.frame_count += 1
        self.byte_count += len(frame.data)
        if link.cut_count:
            self.cut_count += 1
            return False
        prng = link.prng
        if options.drop_share and prng.chance(options.drop_share, 1000):
            self.drop_count += 1
            return False
        if link.clog_count:
            link.held.append(frame)
            return True
        self._keep(link, frame)
        if options.flip_share and frame.data and prng.chance(options.flip_share, 1000):
            self.flip_count += 1
            frame = PeerFrame(frame.sender, frame.receiver, flipped(frame.data, prng), frame.event)
        if options.duplicate_share and prng.chance(options.duplicate_share, 1000):
            self.duplicate_count += 1
            self._dispatch(link, frame)
        return self._dispatch(link, frame)

    def inject(self, frame: PeerFrame) -> None:
        """A frame that nobody sent arrives."""
        self._dispatch(self.link(frame.sender, frame.receiver), frame)

    def calm(self) -> None:
        """The links lose, change, repeat and reorder nothing any more, and what is clogged goes on. Repetitions under way
        do not arrive: one of a process that is gone can deafen its receiver to the process that lives, for a moment."""
        self.is_calm = True
        options = self._options
        options.drop_share = options.duplicate_share = options.replay_share = options.flip_share = 0
        options.spike_share = 0
        options.is_reordering = False

    # -- faults -------------------------------------------------------------------------------------------------------

    def cut(self, sender: int, receiver: int) -> None:
        """Nothing that is sent from now on arrives; cuts lie over each other."""
        self.link(sender, receiver).cut_count += 1

    def mend(self, sender: int, receiver: int) -> None:
        """Inverse of one `cut`."""
        link = self.link(sender, receiver)
        assert link.cut_count > 0
        link.cut_count -= 1

    def is_cut(self, sender: int, receiver: int) -> bool:
        """Nothing gets through."""
        return self.link(sender, receiver).cut_count > 0

    def clog(self, sender: int, receiver: int) -> None:
        """What is sent waits."""
        self.link(sender, receiver).clog_count += 1

    def unclog(self, sender: int, receiver: int) -> None:
        """What waited goes on, all at once."""
        link = self.link(sender, receiver)
        assert link.clog_count > 0
        link.clog_count -= 1
        if link.clog_count:
            return
        held, link.held = link.held, []
        if link.is_reversing:
            held.reverse()
        link.is_reversing = False
        for frame in held:
            if not link.cut_count:
                self._dispatch(link, frame)

    # -- private ------------------------------------------------------------------------------------------------------

    def _dispatch(self, link: PeerLink, frame: PeerFrame) -> bool:
        options = self._options
        prng = link.prng
        now_us = self._scheduler.now_us
        if link.bytes_per_ms:
            begins_us = max(now_us, link.sent_us)
            if (begins_us - now_us) * link.bytes_per_ms // 1000 + len(frame.data) > link.queue_bytes_max:
                self.drop_count += 1
                return False
            link.sent_us = begins_us + len(frame.data) * 1000 // link.bytes_per_ms
            now_us = link.sent_us
        at_us = now_us + prng.between(options.delay_us_min, options.delay_us_max) + link.extra_us
        if options.spike_share and prng.chance(options.spike_share, 1000):
            at_us += prng.below(options.spike_us_max)
        if not options.is_reordering:
            at_us = max(at_us, link.last_us + 1)
            link.last_us = at_us
        self._scheduler.push(at_us, PEER_FRAME, frame.receiver, frame)
        return True

    def _keep(self, link: PeerLink, frame: PeerFrame) -> None:
        """Remember some frames; now and then one of long ago comes again, perhaps from a process that is gone."""
        options = self._options
        prng = link.prng
        if options.replay_share and link.kept and prng.chance(options.replay_share, 1000):
            self.duplicate_count += 1
            old = link.kept[prng.below(len(link.kept))]
            again = PeerFrame(old.sender, old.receiver, old.data, old.event, is_replay=True)
            at_us = self._scheduler.now_us + 1 + prng.below(options.replay_us_max)
            self._scheduler.push(at_us, PEER_FRAME, old.receiver, again)
        if len(link.kept) < KEPT_MAX:
            link.kept.append(frame)
        elif prng.chance(1, 8):
            link.kept[prng.below(KEPT_MAX)] = frame


def flipped(data: bytes, prng: Prng) -> bytes:
    """One bit is not what was sent."""
    changed = bytearray(data)
    bit = prng.below(len(data) * 8)
    changed[bit >> 3] ^= 1 << (bit & 7)
    return bytes(changed)
