"""R12: nothing leaves a replica before what it says is durable; and what leaves is what Raft allows: R4, R15.

Source: FAULTS R4, R12, R15; Raft §5.1.
"""

from typing import Final, final

from quantum.core.raft.config import RaftConfig
from quantum.core.raft.entry import LOST
from quantum.core.raft.messages import (
    AppendEntries,
    AppendEntriesReply,
    FetchEntriesReply,
    Heartbeat,
    HeartbeatReply,
    Message,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)
from quantum.sim.raft_ballots import Ballots
from quantum.sim.raft_entries import EntryLinks
from quantum.sim.raft_laws import broken
from quantum.sim.raft_watch import Watch, said

_TERM_BITS: Final = 32


@final
class Gates:
    """The memory of what was acknowledged."""

    __slots__ = ("_acknowledged", "_ballots", "_config", "_entries")

    def __init__(self, config: RaftConfig, ballots: Ballots, entries: EntryLinks) -> None:
        self._config = config
        self._ballots = ballots
        self._entries = entries
        self._acknowledged: dict[int, int] = {}  # (node, term of a leader) -> the greatest index

    def acknowledged(self, node: int, term: int) -> int:
        """The greatest index that the node told the leader of a term to have."""
        return self._acknowledged.get(node << _TERM_BITS | term, 0)

    def on_send(self, watch: Watch, to: int, message: Message) -> None:
        """R12: nothing leaves before what it says is durable; R1, R2, R4, R15 of what is said."""
        kind = type(message)
        node = watch.node
        if isinstance(message, AppendEntriesReply):
            self._gate_term(watch, message.term, kind)
            if message.is_accepted:
                self._check_acknowledged(watch, to, message)
        elif isinstance(message, AppendEntries | Heartbeat | TimeoutNow):
            self._ballots.lead(node, message.term)
            self._gate_vote(watch, message.term, node, kind)
            if isinstance(message, AppendEntries) and message.entries:
                self._check_append(node, message)
        elif isinstance(message, HeartbeatReply):
            self._gate_term(watch, message.term, kind)
        elif isinstance(message, RequestVote):
            self._gate_vote(watch, message.term, node, kind)
            self._ballots.on_vote(node, message.term, node, is_sent=False)
        elif isinstance(message, RequestVoteReply):
            self._gate_term(watch, message.term, kind)
            if message.is_granted:
                self._gate_vote(watch, message.term, to, kind)
                self._ballots.on_vote(node, message.term, to, is_sent=True)
        elif isinstance(message, FetchEntriesReply):
            before = message.previous_term
            for entry in message.entries:
                self._entries.link(entry, before, f"a reply of node {node}")
                before = entry.term

    def _check_acknowledged(self, watch: Watch, to: int, message: AppendEntriesReply) -> None:
        held = watch.disk.held
        index = message.index
        term = watch.image.term_at(index)
        if not (held.has(index, term) and index <= held.last):
            broken(
                "R12",
                f"the disk of node {watch.node} is synced up to {held.last}, entry {index} of it is of term "
                f"{held.term_at(index)}",
                f"it acknowledged entry {index} of term {term} to node {to}",
            )
        key = watch.node << _TERM_BITS | message.term
        if index > self._acknowledged.get(key, 0):
            self._acknowledged[key] = index

    def _gate_term(self, watch: Watch, term: int, kind: type) -> None:
        if term > watch.disk.confirmed_term:
            broken(
                "R12",
                f"node {watch.node} has term {watch.disk.confirmed_term} durable",
                f"it sent {kind.__name__} of term {term}",
            )

    def _gate_vote(self, watch: Watch, term: int, candidate: int, kind: type) -> None:
        disk = watch.disk
        if term > disk.confirmed_term or (term == disk.confirmed_term and disk.confirmed_vote != candidate):
            broken(
                "R12",
                f"node {watch.node} has a vote for {disk.confirmed_vote} in term {disk.confirmed_term} durable",
                f"it sent {kind.__name__} of term {term}, which needs one for {candidate}",
            )

    def _check_append(self, node: int, message: AppendEntries) -> None:
        before = message.previous_term
        index = message.previous_index
        size = 0
        for entry in message.entries:
            index += 1
            if entry.index != index or entry.term > message.term or entry.kind == LOST:
                broken(
                    "R4",
                    f"entry {index} is due in an AppendEntries of node {node} in term {message.term}",
                    f"it carries {said(entry)} as {entry.index}",
                )
            self._entries.link(entry, before, f"an AppendEntries of node {node}")
            before = entry.term
            size += len(entry.data)
        count = len(message.entries)
        if count > self._config.append_entries_max or (count > 1 and size > self._config.append_bytes_max):
            broken(
                "R15",
                f"an AppendEntries has at most {self._config.append_entries_max} entries of "
                f"{self._config.append_bytes_max} bytes",
                f"node {node} sent {count} of {size} bytes",
            )
