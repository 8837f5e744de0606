"""What exists only while a replica leads: its followers' progress, reads, a transfer. Gone with the term.

Source: Raft §5.3, figure 2 "Leaders"; thesis §3.10, §6.4, §10.2.1.
"""

from typing import final

from quantum.core.raft.config import RaftConfig
from quantum.core.raft.entry import Entry
from quantum.core.raft.log import RaftLog
from quantum.core.raft.membership import Membership
from quantum.core.raft.messages import AppendEntries, AppendEntriesReply, Heartbeat, HeartbeatReply, Message, TimeoutNow
from quantum.core.raft.progress import SNAPSHOT, Progress
from quantum.core.raft.quorum import is_quorum, quorum_index
from quantum.core.raft.reads import Reads


@final
class Leadership:
    """One term in office. `outbox` is drained by the replica, which holds back what must not leave yet."""

    __slots__ = (
        "_config",
        "_log",
        "_node",
        "active_ms",
        "followers",
        "is_idle",
        "membership",
        "outbox",
        "reads",
        "sequence",
        "snapshots_wanted",
        "term",
        "term_start",
        "transfer_deadline_ms",
        "transferee",
        "uncommitted_bytes",
    )

    def __init__(self, node: int, term: int, term_start: int, config: RaftConfig, log: RaftLog) -> None:
        self._node = node
        self._config = config
        self._log = log
        self.term = term
        self.term_start = term_start  # the index of the term's own first entry
        self.membership = Membership((node,))
        self.followers: dict[int, Progress] = {}
        self.reads = Reads()
        self.transferee = 0
        self.transfer_deadline_ms = 0
        self.active_ms = 0  # when something last had to be done
        self.is_idle = False
        self.sequence = 0  # of the last AppendEntries or round of heartbeats
        self.uncommitted_bytes = 0
        self.outbox: list[tuple[int, Message]] = []
        self.snapshots_wanted: list[tuple[int, int]] = []

    def set_membership(self, membership: Membership) -> None:
        """The membership in force; who is new is probed."""
        self.membership = membership
        followers: dict[int, Progress] = {}
        for node in membership.members():
            if node != self._node:
                progress = self.followers.get(node)
                followers[node] = Progress(self._config, self._log.last_index + 1) if progress is None else progress
        self.followers = followers

    # -- sending ----------------------------------------------------------------------------------------------------

    def broadcast(self, commit_index: int) -> None:
        """Send everybody what is new to them: entries, or the commit index."""
        for node, progress in self.followers.items():
            self.send_append(node, progress, commit_index)

    def send_append(self, node: int, progress: Progress, commit_index: int) -> None:
        """One or more AppendEntries, as far as the follower's window allows."""
        log = self._log
        while not progress.is_paused:
            previous_index = progress.next_index - 1
            if progress.snapshot_index_min > 0 or previous_index < log.base_index:
                self._want_snapshot(node, progress)
                return
            entries = log.slice(progress.next_index, self._config.append_entries_max, self._config.append_bytes_max)
            if not entries and progress.is_matched and progress.commit_sent >= min(commit_index, previous_index):
                return
            self._append(node, progress, progress.next_index, entries, commit_index)
            if not entries:
                return

    def _append(self, node: int, progress: Progress, index: int, entries: list[Entry], commit_index: int) -> None:
        previous_index = index - 1
        previous_term = self._log.term_at(previous_index)
        last_index = entries[-1].index if entries else previous_index
        size = sum([len(entry.data) for entry in entries])
        self.sequence += 1
        self.outbox.append(
            (node, AppendEntries(self.term, previous_index, previous_term, commit_index, entries, self.sequence))
        )
        progress.commit_sent = max(progress.commit_sent, min(commit_index, last_index))
        progress.is_idle = False
        progress.on_sent(last_index, size)

    def _want_snapshot(self, node: int, progress: Progress) -> None:
        progress.become_snapshot()
        index_min = max(progress.snapshot_index_min, self._log.base_index)
        progress.snapshot_index_min = index_min
        self.snapshots_wanted.append((node, index_min))

    def beat(self, commit_index: int) -> None:
        """A heartbeat to everybody."""
        self.sequence += 1
        last_index = self._log.last_index
        for node, progress in self.followers.items():
            known = min(commit_index, progress.match_index)
            beat = Heartbeat(self.term, known, self.reads.sequence, last_index, self.is_idle, self.sequence)
            self.outbox.append((node, beat))

    def wake(self) -> None:
        """Speak again after silence."""
        self.is_idle = False
        for progress in self.followers.values():
            progress.is_idle = False

    # -- hearing ----------------------------------------------------------------------------------------------------

    def on_append_reply(self, sender: int, reply: AppendEntriesReply, commit_index: int) -> bool:
        """True when the follower's match_index moved."""
        progress = self.followers.get(sender)
        if progress is None:
            return False
        if reply.snapshot_index_min > progress.snapshot_index_min and progress.state != SNAPSHOT:
            progress.snapshot_index_min = reply.snapshot_index_min
            self._want_snapshot(sender, progress)
        if reply.is_lost:
            progress.on_lost(reply.index if reply.is_accepted else reply.hint_index)
        moved = False
        if reply.is_accepted:
            moved = progress.on_accepted(reply.index, is_lost=reply.is_lost)
            if progress.state == SNAPSHOT and not reply.snapshot_index_min and progress.has_snapshot:
                progress.snapshot_index_min = 0
                progress.become_probe()
                progress.become_replicate()
        else:
            hint_index, _ = self._log.hint(reply.hint_index, reply.hint_term)
            progress.on_refused(reply.index, hint_index + 1)
        self.send_append(sender, progress, commit_index)
        if self.transferee == sender:
            self._finish_transfer(progress)
        return moved

    def begin_transfer(self, to: int, commit_index: int) -> None:
        """Bring a voter up to the end of the log, then let it campaign."""
        self.transferee = to
        progress = self.followers[to]
        self.send_append(to, progress, commit_index)
        self._finish_transfer(progress)

    def _finish_transfer(self, progress: Progress) -> None:
        if progress.match_index == self._log.last_index:
            self.outbox.append((self.transferee, TimeoutNow(self.term, self._log.last_index)))

    def on_heartbeat_reply(self, sender: int, reply: HeartbeatReply, commit_index: int) -> None:
        """A follower confirms that this leader leads."""
        progress = self.followers.get(sender)
        if progress is None:
            return
        progress.on_heartbeat_reply(reply.sequence, is_idle=reply.is_idle)
        if reply.proved_index < progress.match_index and progress.match_index >= self._log.base_index:
            # It cannot know that what it acknowledged is still ours: 1. all is committed  2. a follower restarts
            # 3. nobody writes any more. Without this it would apply nothing.
            self._append(sender, progress, progress.match_index + 1, [], commit_index)
        elif progress.match_index < self._log.last_index and not progress.is_paused:
            # The last AppendEntries may have been lost: an empty one finds that out.
            self._probe(sender, progress, commit_index)
        if reply.read_sequence > progress.read_sequence:
            progress.read_sequence = reply.read_sequence
            self.confirm_reads()

    def _probe(self, node: int, progress: Progress, commit_index: int) -> None:
        before = len(self.outbox)
        self.send_append(node, progress, commit_index)
        if len(self.outbox) == before and progress.state != SNAPSHOT and not progress.is_paused:
            self._append(node, progress, progress.next_index, [], commit_index)

    def confirm_reads(self) -> None:
        """Reads whose round a quorum has answered are done."""
        if self.reads.is_confirming:
            sequence = quorum_index(self.membership, self._read_sequence_of)
            self.reads.on_confirmed(sequence)

    def _read_sequence_of(self, node: int) -> int:
        if node == self._node:
            return self.reads.sequence
        progress = self.followers.get(node)
        return 0 if progress is None else progress.read_sequence

    # -- counting ---------------------------------------------------------------------------------------------------

    def committed_index(self, durable_index: int) -> int:
        """What a quorum has on disk; this replica's own disk counts like any other."""
        followers = self.followers
        node = self._node
        membership = self.membership
        if len(membership.voters) == 1 and membership.voters[0] == node and not membership.outgoing:
            return durable_index

        def index_of(each: int) -> int:
            if each == node:
                return durable_index
            progress = followers.get(each)
            return 0 if progress is None else progress.match_index

        return quorum_index(self.membership, index_of)

    def count_quorum(self) -> bool:
        """Whether a quorum was heard of since the last count. thesis §6.2"""
        heard: dict[int, bool] = {self._node: True}
        for node, progress in self.followers.items():
            heard[node] = progress.is_active
            progress.is_active = False
        return is_quorum(self.membership, heard)

    def may_fall_silent(self, commit_index: int) -> bool:
        """Everybody has everything, and knows it."""
        last_index = self._log.last_index
        if commit_index != last_index or len(self.reads) or self.transferee:
            return False
        return all(
            progress.match_index == last_index and progress.commit_sent == last_index and progress.is_active
            for progress in self.followers.values()
        )

    def is_silent(self) -> bool:
        """Every follower knows that this leader falls silent."""
        return self.is_idle and all(progress.is_idle for progress in self.followers.values())
