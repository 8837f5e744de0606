"""What a leader knows of one follower. Everything that changes a follower's progress is in this file.

PROBE sends one AppendEntries and waits, to find where the logs agree; REPLICATE sends ahead of the answers, as far as
the window allows; SNAPSHOT waits until the follower has a snapshot. Source: thesis §10.2.1.
"""

from collections import deque
from typing import Final, final

from quantum.core.raft.config import RaftConfig

PROBE: Final = 0
REPLICATE: Final = 1
SNAPSHOT: Final = 2


@final
class Progress:
    """One follower's log as the leader knows it: match_index < next_index."""

    __slots__ = (
        "_config",
        "_inflight",
        "_inflight_bytes",
        "_is_probing",
        "_window",
        "commit_sent",
        "heard_sequence",
        "is_active",
        "is_idle",
        "match_index",
        "next_index",
        "read_sequence",
        "snapshot_index_min",
        "state",
    )

    def __init__(self, config: RaftConfig, next_index: int) -> None:
        self._config = config
        self.match_index = 0  # durable there
        self.next_index = next_index
        self.state = PROBE
        self.is_active = True  # heard of since the last count of the quorum
        self.heard_sequence = 0  # of the last heartbeat it answered
        self.is_idle = False
        self.commit_sent = 0  # the greatest commit index it was told
        self.read_sequence = 0  # the greatest it has confirmed
        self.snapshot_index_min = 0  # it needs a snapshot at this index or later
        self._is_probing = False  # a probe is under way
        self._inflight: deque[tuple[int, int]] = deque()  # (last index, bytes)
        self._inflight_bytes = 0
        self._window = config.inflight_appends_max  # AppendEntries that may be under way

    @property
    def is_paused(self) -> bool:
        """Nothing may be sent for now."""
        if self.state == PROBE:
            return self._is_probing
        if self.state == SNAPSHOT:
            return True
        return len(self._inflight) >= self._window or self._inflight_bytes >= self._config.inflight_bytes_max

    @property
    def has_snapshot(self) -> bool:
        """It has what it was to get; that the leader's log may begin later by now is another matter."""
        return self.match_index >= self.snapshot_index_min

    @property
    def is_matched(self) -> bool:
        """It is known that the logs agree up to where the next AppendEntries begins, or something is on its way there."""
        return self.state != PROBE or self.next_index == self.match_index + 1

    def on_sent(self, last_index: int, size: int) -> None:
        """Entries up to `last_index` were sent from next_index on; none for an index below next_index."""
        if self.state == REPLICATE:
            if last_index >= self.next_index:
                self.next_index = last_index + 1
                self._inflight.append((last_index, size))
                self._inflight_bytes += size
        else:
            self._is_probing = True

    def on_accepted(self, index: int, *, is_lost: bool = False) -> bool:
        """The follower has everything up to `index`, durably; True when that is news. One that lost something is sent
        one AppendEntries at a time until it got over that."""
        is_news = index > self.match_index
        if is_news:
            # Acknowledgements may overtake each other; a match never falls.
            self.match_index = index
        if index >= self.next_index:
            self.next_index = index + 1
        if self.state == PROBE:
            if is_lost:
                # Only news ends a probe: a doubled answer would double the probes.
                self._is_probing = self._is_probing and not is_news
            elif index == self.match_index:
                self.become_replicate()
        elif self.state == REPLICATE:
            while self._inflight and self._inflight[0][0] <= index:
                self._inflight_bytes -= self._inflight.popleft()[1]
            if is_news:
                self._window = min(self._window + 1, self._config.inflight_appends_max)
        return is_news

    def on_refused(self, index: int, next_index: int) -> bool:
        """The follower's log has nothing fitting at `index`; True when it is to be probed from `next_index`."""
        if self.state == REPLICATE:
            if index <= self.match_index:
                return False  # Answers an AppendEntries from before the last acknowledgement.
            # 1. one of 64 is lost  2. the follower refuses all behind it  3. each of these refusals would have 64 sent
            # anew, some of which would be lost. So little is sent ahead until there are acknowledgements again.
            self._window = 1
            self.become_probe()
            return True
        if self.state == SNAPSHOT or index != self.next_index - 1:
            return False
        if index <= self.match_index:
            # It lost what it acknowledged, and does not know: its disk was rolled back. Asked again at once, it would
            # refuse at once, for ever; so it is asked once with each heartbeat.
            return False
        self._is_probing = False
        self.next_index = max(self.match_index + 1, min(next_index, index))
        return True

    def on_lost(self, index: int) -> None:
        """The follower lost what it once acknowledged: only up to `index` is it known to be there."""
        self.match_index = min(self.match_index, index)
        if self.state == REPLICATE or (self.state == PROBE and index + 1 < self.next_index):
            self.become_probe()
            self.next_index = index + 1

    def on_heartbeat_reply(self, sequence: int, *, is_idle: bool) -> None:
        """It lives, unless this is a late copy; a probe or an append that was lost must not hold it up for ever."""
        if sequence > self.heard_sequence:
            self.heard_sequence = sequence
            self.is_active = True
            self.is_idle = is_idle
        self._is_probing = False
        if self.state == REPLICATE and self.is_paused:
            self._inflight_bytes -= self._inflight.popleft()[1]

    def become_probe(self) -> None:
        """Find out where the logs agree."""
        self.state = PROBE
        self.next_index = self.match_index + 1
        self._reset()

    def become_replicate(self) -> None:
        """Send ahead of the answers."""
        self.state = REPLICATE
        self.next_index = self.match_index + 1
        self._reset()

    def become_snapshot(self) -> None:
        """Wait until the follower has a snapshot, or it failed."""
        self.state = SNAPSHOT
        self._reset()

    def _reset(self) -> None:
        self._is_probing = False
        self._inflight.clear()
        self._inflight_bytes = 0
