"""What replicas of a group say to each other. `term` is the sender's current_term where nothing else is said.

Which group a message is for, and from whom to whom, says the frame around it. Source: Raft figures 2 and 13; thesis
§3.10 (TimeoutNow), §6.4 (ReadIndex), §9.6 (PreVote).
"""

from dataclasses import dataclass, field
from typing import final

from quantum.core.raft.entry import Entry


@final
@dataclass(slots=True)
class RequestPreVote:
    """Would you vote for me in `term`, which is one above mine? Changes nothing on either side."""

    term: int
    last_index: int
    last_term: int


@final
@dataclass(slots=True)
class RequestPreVoteReply:
    """When granted `term` is the one asked about, else the sender's own."""

    term: int
    is_granted: bool


@final
@dataclass(slots=True)
class RequestVote:
    """A candidate's request; `is_transfer` when the leader asked it to, so that no voter keeps to that leader."""

    term: int
    last_index: int
    last_term: int
    is_transfer: bool


@final
@dataclass(slots=True)
class RequestVoteReply:
    """A vote, or none."""

    term: int
    is_granted: bool


@final
@dataclass(slots=True)
class AppendEntries:
    """Entries behind (previous_index, previous_term); none to probe, or to tell the commit index. `sequence` grows with
    every AppendEntries and Heartbeat of a term: one that comes behind a later one is no sign of life."""

    term: int
    previous_index: int
    previous_term: int
    commit_index: int
    entries: list[Entry] = field(default_factory=list)
    sequence: int = 0


@final
@dataclass(slots=True)
class AppendEntriesReply:
    """Accepted: the sender's log is the leader's up to `index`, durably. Refused: `index` is the previous_index that
    did not fit, and the hint is the sender's last entry up to there whose term is not above previous_term."""

    term: int
    is_accepted: bool
    index: int
    hint_index: int = 0
    hint_term: int = 0
    is_lost: bool = False  # entries behind `index` that were acknowledged once may be lost here
    snapshot_index_min: int = 0  # the sender lost its state: it needs a snapshot at this index or a later one


@final
@dataclass(slots=True)
class Heartbeat:
    """The leader lives. `commit_index` is no greater than what the receiver is known to have."""

    term: int
    commit_index: int
    read_sequence: int
    last_index: int
    is_idle: bool = False  # the leader falls silent: everybody has everything
    sequence: int = 0  # see AppendEntries


@final
@dataclass(slots=True)
class HeartbeatReply:
    """The sender took the leader for its leader when it had seen the heartbeat of `read_sequence`. Up to `proved_index`
    it knows its log to be the leader's. `sequence` is that of the heartbeat."""

    term: int
    read_sequence: int
    is_idle: bool
    proved_index: int
    sequence: int


@final
@dataclass(slots=True)
class TimeoutNow:
    """Campaign at once, if your log reaches `index`."""

    term: int
    index: int


@final
@dataclass(slots=True)
class RequestReadIndex:
    """Up to where must I have applied to read what is committed now?"""

    term: int
    context: int


@final
@dataclass(slots=True)
class ReadIndexReply:
    """The answer to `context`; index 0 when the sender cannot tell."""

    term: int
    context: int
    index: int


@final
@dataclass(slots=True)
class FetchEntries:
    """The sender lost `first` to `last`, and holds (last + 1, next_term): whose log has that entry has the lost ones.
    No term: an entry is what it is, whoever leads."""

    first: int
    last: int
    next_term: int


@final
@dataclass(slots=True)
class FetchEntriesReply:
    """Entries that end right before (next_index, next_term), and the term of the one in front of them. Without entries:
    the sender leads in `leader_term`, and its log has no (next_index, next_term)."""

    next_index: int
    next_term: int
    previous_term: int  # 0 when it is not known
    entries: list[Entry]
    leader_term: int = 0


@final
@dataclass(slots=True)
class RequestSnapshot:
    """The sender lost what a snapshot at `index_min` or later holds, and knows of no leader that would send it. When that
    is its state as of `index_min`, the entry there is committed, and `index_term` is its term; else that is 0."""

    term: int
    index_min: int
    index_term: int


@final
@dataclass(slots=True)
class RequestLastEntry:
    """What do you know that I may have forgotten? `nonce` ties the reply to this life of the sender."""

    nonce: int


@final
@dataclass(slots=True)
class LastEntryReply:
    """The sender's term and durable end of log; as of now, not as of some message under way."""

    nonce: int
    term: int
    last_index: int
    last_term: int
    is_leader: bool
    membership_index: int
    membership: bytes


Message = (
    RequestPreVote
    | RequestPreVoteReply
    | RequestVote
    | RequestVoteReply
    | AppendEntries
    | AppendEntriesReply
    | Heartbeat
    | HeartbeatReply
    | TimeoutNow
    | RequestReadIndex
    | ReadIndexReply
    | FetchEntries
    | FetchEntriesReply
    | RequestLastEntry
    | LastEntryReply
    | RequestSnapshot
)
