"""One replica of a group: its role, its term, its log, and what every input does to them.

No clock, no disk, no network: the driver calls `on_*`, then takes records, messages and committed entries. Messages come
out only when what they say is durable, see `durability`. Entry data is opaque.

Source: Raft figure 2; thesis §3.10 (transfer), §4 (membership), §6.2 (check quorum), §6.4 (ReadIndex), §9.6 (PreVote).
"""

from typing import Final, final

from quantum.core.prng import Prng
from quantum.core.raft.config import RaftConfig
from quantum.core.raft.doubt import Doubt
from quantum.core.raft.durability import Durability
from quantum.core.raft.election import (
    on_election_timeout,
    on_request_pre_vote,
    on_request_pre_vote_reply,
    on_request_vote,
    on_request_vote_reply,
    on_timeout_now,
)
from quantum.core.raft.entry import COMMAND, MEMBERSHIP, NO_OP, Entry
from quantum.core.raft.following import install, on_append_entries, on_heartbeat, reply_accepted
from quantum.core.raft.leadership import Leadership
from quantum.core.raft.leading import advance_commit, begin_read, on_append_reply, on_beat, on_heartbeat_reply
from quantum.core.raft.log import RaftLog
from quantum.core.raft.membership import (
    Membership,
    MembershipHistory,
    decode_membership,
    encode_membership,
    refusal_of,
)
from quantum.core.raft.mending import (
    SNAPSHOT_TIMEOUTS,
    advance_doubt,
    ask_again,
    on_fetched,
    on_request_snapshot,
    tell_last_entry,
)
from quantum.core.raft.messages import (
    AppendEntries,
    AppendEntriesReply,
    FetchEntries,
    FetchEntriesReply,
    Heartbeat,
    HeartbeatReply,
    LastEntryReply,
    Message,
    ReadIndexReply,
    RequestLastEntry,
    RequestPreVote,
    RequestPreVoteReply,
    RequestReadIndex,
    RequestSnapshot,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)
from quantum.core.raft.reads import AskedReads
from quantum.core.raft.records import HardStateRecord, Record, TruncateRecord
from quantum.core.raft.recovered import Recovered
from quantum.core.raft.repair import Repair, answer
from quantum.core.raft.role import FOLLOWER, LEADER

# Why a proposal was not taken: results of `propose` and its like, where an index is positive.
NOT_LEADER: Final = -1
TRANSFERRING: Final = -2  # the leader hands its office over
UNCOMMITTED_MAX: Final = -3  # too much waits for a quorum
CHANGING: Final = -4  # another membership change is under way
NOT_A_VOTER: Final = -5
NO_CHANGE: Final = -6  # membership.refusal_of says why


@final
class Raft:
    """See the module. Attributes are to be read by anybody, changed by nobody."""

    __slots__ = (
        "config",
        "deadline_ms",
        "delivered_index",
        "doubt_deadline_ms",
        "durability",
        "heard_sequence",
        "leader_heard_ms",
        "memberships",
        "now_ms",
        "prng",
        "quorum_deadline_ms",
        "reads_asked",
        "reads_done",
        "verified_index",
        "votes",
        "applied_index",
        "commit_index",
        "current_term",
        "doubt",
        "is_idle",
        "leader",
        "leadership",
        "log",
        "node",
        "repair",
        "role",
        "snapshot_due_ms",
        "snapshot_index_min",
        "snapshots_asked",
        "snapshots_wanted",
        "voted_for",
    )

    def __init__(self, node: int, config: RaftConfig, prng: Prng, recovered: Recovered, now_ms: int) -> None:
        self.node = node
        self.config = config
        self.prng = prng
        self.now_ms = now_ms
        self.current_term = recovered.current_term
        self.voted_for = recovered.voted_for
        self.role = FOLLOWER
        self.leader = 0  # who leads in current_term, 0 while not known
        self.log = RaftLog(recovered.snapshot_index, recovered.snapshot_term, recovered.entries)
        self.commit_index = recovered.snapshot_index
        self.applied_index = recovered.snapshot_index
        self.delivered_index = recovered.snapshot_index  # given to the driver to apply
        self.durability = Durability(self.log.last_index)
        self.memberships = MembershipHistory(recovered.snapshot_index, recovered.membership)
        for entry in recovered.entries:
            if entry.kind == MEMBERSHIP:
                self.memberships.append(entry.index, decode_membership(entry.data))
        self.leadership: Leadership | None = None
        self.votes: dict[int, bool] = {}
        self.verified_index = 0  # up to here the log is that of the leader of current_term
        self.heard_sequence = -1  # the greatest of a leader of current_term
        self.leader_heard_ms = -config.election_timeout_ms - 1
        self.quorum_deadline_ms = 0
        self.is_idle = False  # a follower whose leader fell silent on purpose
        self.reads_done: list[tuple[int, int]] = []
        self.reads_asked = AskedReads()
        self.repair = Repair(config.fetch_entries_max)
        # The state as of this index or a later one must come from a peer, 0 when the state is here.
        self.snapshot_index_min = recovered.snapshot_index if recovered.is_snapshot_lost else 0
        self.snapshots_wanted: list[tuple[int, int]] = []  # of peers that asked for one
        self.snapshots_asked = 0
        self.snapshot_due_ms = now_ms + SNAPSHOT_TIMEOUTS * config.election_timeout_ms
        self.deadline_ms = 0
        self.doubt_deadline_ms = 0
        self.doubt = Doubt(
            prng.u64(), is_tail_doubtful=recovered.is_tail_doubtful, is_vote_doubtful=recovered.is_vote_doubtful
        )
        if self.doubt.is_tail_doubtful and not self.doubt.is_vote_doubtful:
            self.record_hard_state()  # The doubt must outlive another crash.
        self.set_election_deadline()
        advance_doubt(self)
        if self.membership.all_voters() == [node]:
            self.deadline_ms = max(1, now_ms)  # There is nobody to wait for.

    # -- inputs -----------------------------------------------------------------------------------------------------

    def on_clock(self, now_ms: int) -> None:
        """The monotonic clock; deadlines that passed are acted upon."""
        if now_ms > self.now_ms:
            self.now_ms = now_ms
        if self.doubt_deadline_ms and now_ms >= self.doubt_deadline_ms:
            self.doubt_deadline_ms = 0
            advance_doubt(self)
        if self.reads_asked.due_ms:
            for context in self.reads_asked.take_due(now_ms):
                self.reads_done.append((context, 0))
        if self.log.lost or self.snapshot_index_min:
            ask_again(self, now_ms)
        if not self.deadline_ms or now_ms < self.deadline_ms:
            return
        if self.role == LEADER:
            on_beat(self)
        else:
            on_election_timeout(self)
        self.check()

    def on_message(self, sender: int, message: Message) -> None:
        """A message of a peer; any order, any age, any number of times."""
        if isinstance(message, AppendEntries):
            on_append_entries(self, sender, message)
        elif isinstance(message, AppendEntriesReply):
            on_append_reply(self, sender, message)
        elif isinstance(message, Heartbeat):
            on_heartbeat(self, sender, message)
        elif isinstance(message, HeartbeatReply):
            on_heartbeat_reply(self, sender, message)
        else:
            self.on_rare_message(sender, message)
        self.drain_leadership()
        self.check()

    def on_persisted(self, sequence: int) -> None:
        """Every record up to `sequence` is durable."""
        if self.durability.on_persisted(sequence, self.current_term) and self.role == LEADER:
            advance_commit(self)
            self.drain_leadership()
        self.check()

    def propose(self, data: bytes) -> int:
        """Append a command; returns its index, or why not."""
        return self.propose_entry(COMMAND, data)

    def propose_no_op(self) -> int:
        """Append an entry that does nothing, for its place in the log; returns its index, or why not."""
        return self.propose_entry(NO_OP, b"")

    def propose_membership(self, wanted: Membership) -> int:
        """Change who takes part. Voters change through a joint membership, which is left by itself. One at a time, and
        only once this term committed something: an earlier term's change must not be undone unseen. thesis §4.1"""
        leadership = self.leadership
        if leadership is None:
            return NOT_LEADER
        if refusal_of(self.membership, wanted):
            return NO_CHANGE
        if not self.may_change_membership():
            return CHANGING
        if wanted.voters != self.membership.voters:
            wanted = Membership(wanted.voters, self.membership.voters, wanted.learners)
        return self.propose_entry(MEMBERSHIP, encode_membership(wanted))

    def may_change_membership(self) -> bool:
        """No change is under way, and this leader knows of all that were."""
        leadership = self.leadership
        return (
            leadership is not None
            and self.commit_index >= max(leadership.term_start, self.memberships.latest_index)
            and not self.membership.is_joint()
        )

    def transfer_leadership(self, to: int) -> int:
        """Make `to` the leader once it has the whole log on disk; given up after an election timeout. Returns 0, or why
        not. Proposals are refused meanwhile. thesis §3.10"""
        leadership = self.leadership
        if leadership is None:
            return NOT_LEADER
        if leadership.transferee:
            return TRANSFERRING
        if to not in leadership.followers or to not in self.membership.voters:
            return NOT_A_VOTER
        self.wake()
        leadership.transfer_deadline_ms = self.now_ms + self.config.election_timeout_ms
        leadership.begin_transfer(to, self.commit_index)
        self.drain_leadership()
        return 0

    def read_index(self, context: int) -> None:
        """Ask what must be applied to read what is committed now; `take_reads` answers."""
        if self.role == LEADER:
            begin_read(self, self.node, context)
            self.drain_leadership()
        elif self.leader and len(self.reads_asked) < self.config.reads_max:
            self.reads_asked.add(context, max(1, self.now_ms + self.config.election_timeout_ms))
            self.durability.send(self.leader, RequestReadIndex(self.current_term, context))
        else:
            self.reads_done.append((context, 0))

    def on_applied(self, index: int) -> None:
        """The driver applied the entries up to `index`."""
        assert self.applied_index <= index <= self.delivered_index
        self.applied_index = index

    def compact(self, index: int) -> None:
        """A snapshot at `index` is durable here: the log up to there is not needed in memory any more."""
        assert index <= self.applied_index
        if index > self.log.base_index:
            self.memberships.rebase(index, self.memberships.at(index))
            self.log.compact(index, self.log.term_at(index))

    def on_snapshot_received(
        self, sender: int, term: int, index: int, snapshot_term: int, membership: Membership
    ) -> bool:
        """A peer's snapshot lies durably on this disk. True: the machine is to be restored from it, the log begins behind
        it; False: this replica is further. What it holds is committed, in a term not above `term`, that of the sender:
        whether that one leads does not matter. Source: Raft §7, figure 13."""
        if self.role == LEADER or self.doubt.is_vote_doubtful:
            return False
        if term > self.current_term or self.role != FOLLOWER:
            self.become_follower(max(term, self.current_term), 0)
        is_needed = index >= self.snapshot_index_min if self.snapshot_index_min else index > self.commit_index
        if not is_needed:
            reply_accepted(self, sender)
            return False
        install(self, index, snapshot_term, membership)
        reply_accepted(self, sender)
        self.check()
        return True

    def on_snapshot_failed(self, peer: int) -> None:
        """The peer did not get its snapshot: begin again."""
        leadership = self.leadership
        if leadership is not None and peer in leadership.followers:
            leadership.followers[peer].become_probe()

    def on_peer_lost(self, peer: int) -> None:
        """The peer's process is gone, or is a new one: what is silent must speak again."""
        if peer == self.leader or self.role == LEADER:
            self.wake()

    # -- outputs ----------------------------------------------------------------------------------------------------

    @property
    def membership(self) -> Membership:
        """The one in force: the last in the log, committed or not."""
        return self.memberships.latest

    def membership_at(self, index: int) -> Membership:
        """As of an applied index, for a snapshot there."""
        return self.memberships.at(index)

    @property
    def last_index(self) -> int:
        """The last entry of the log, durable or not."""
        return self.log.last_index

    @property
    def durable_index(self) -> int:
        """Entries up to here are on this disk."""
        return self.durability.durable_index

    @property
    def proved_index(self) -> int:
        """Entries up to here are here, and the leader's of current_term: nothing will ever replace them in this term."""
        return max(self.commit_index, self.verified_index)

    @property
    def record_sequence(self) -> int:
        """The number of the last record there is."""
        return self.durability.sequence

    def take_records(self) -> list[Record]:
        """What is to be made durable behind everything before."""
        return self.durability.take_records()

    def take_messages(self) -> list[tuple[int, Message]]:
        """(to, message): what they say is durable."""
        return self.durability.take_messages()

    def take_committed(self, bytes_max: int) -> list[Entry]:
        """The next entries to apply: committed, and durable here. Each comes once in this life."""
        limit = min(self.commit_index, self.durability.durable_index)
        if self.snapshot_index_min or limit <= self.delivered_index:
            return []
        entries = self.log.slice(self.delivered_index + 1, limit - self.delivered_index, bytes_max)
        if entries:
            self.delivered_index = entries[-1].index
        return entries

    def take_reads(self) -> list[tuple[int, int]]:
        """(context, index): to be served once applied_index reaches index; index 0 for a refusal."""
        done = self.reads_done
        self.reads_done = []
        return done

    def take_snapshots_wanted(self) -> list[tuple[int, int]]:
        """(peer, index_min): send a snapshot at that index or later, then nothing until it arrived or failed."""
        wanted = self.snapshots_wanted
        self.snapshots_wanted = []
        leadership = self.leadership
        if leadership is not None:
            wanted += leadership.snapshots_wanted
            leadership.snapshots_wanted = []
        return wanted

    def next_deadline_ms(self) -> int:
        """When `on_clock` must be called, 0 for never."""
        deadline_ms = self.deadline_ms
        is_mending = self.is_damaged()
        if not (is_mending or self.doubt_deadline_ms or self.reads_asked.due_ms):
            return deadline_ms
        snapshot_due_ms = self.snapshot_due_ms if is_mending else 0
        repair_ms = self.repair.deadline_ms(self.log)
        for other_ms in (self.doubt_deadline_ms, repair_ms, snapshot_due_ms, self.reads_asked.deadline_ms):
            if other_ms and (not deadline_ms or other_ms < deadline_ms):
                deadline_ms = other_ms
        return deadline_ms

    def is_committed_in_own_term(self) -> bool:
        """This leader knows which entries are committed. Raft §8"""
        leadership = self.leadership
        return leadership is not None and self.commit_index >= leadership.term_start

    def may_campaign(self) -> bool:
        """Whether this replica can lead: a voter that lost nothing, or knows that nobody has more."""
        return (
            self.is_electable()
            and not self.doubt.is_vote_doubtful
            and not self.log.first_lost
            and not self.snapshot_index_min
            and self.doubt.may_count_on(self.log.last_term, self.log.last_index)
        )

    def is_electable(self) -> bool:
        """Whether this replica is a voter, or was one since what it knows to be committed: those who stay may need its
        log, which may be longer than theirs. It counts neither its own vote nor its own disk then. thesis §4.2.2"""
        return any(membership.is_voter(self.node) for membership in self.memberships.since(self.commit_index))

    def is_damaged(self) -> bool:
        """Whether entries or the state are known to be lost here."""
        return len(self.log.lost) > 0 or self.snapshot_index_min > 0

    # -- transitions, for the other files of this room --------------------------------------------------------------

    def become_follower(self, term: int, leader: int) -> None:
        """Follow in `term`: `leader`, or 0 while nobody is known to lead."""
        if self.leadership is not None:
            self.leadership.reads.fail()
            self.drain_leadership()
            self.leadership = None
        if term > self.current_term:
            self.current_term = term
            self.voted_for = 0
            self.verified_index = 0
            self.heard_sequence = -1
            self.record_hard_state()
        if leader != self.leader:
            self.fail_reads()
        was_follower = self.role == FOLLOWER
        self.role = FOLLOWER
        self.leader = leader
        self.is_idle = False
        self.votes = {}
        if leader or not was_follower or not self.deadline_ms:
            self.set_election_deadline()

    def become_leader(self) -> None:
        """Take office: the first entry commits what earlier terms left. Raft §5.4.2, §8"""
        self.role = LEADER
        self.leader = self.node
        self.votes = {}
        leadership = Leadership(self.node, self.current_term, self.log.last_index + 1, self.config, self.log)
        self.leadership = leadership
        for index in range(self.commit_index + 1, self.log.last_index + 1):
            leadership.uncommitted_bytes += len(self.log.entry(index).data)
        leadership.set_membership(self.membership)
        self.append_entry(Entry(self.log.last_index + 1, self.current_term, NO_OP, b""))
        leadership.active_ms = self.now_ms
        self.quorum_deadline_ms = self.now_ms + self.config.election_timeout_ms
        self.deadline_ms = self.now_ms + self.config.heartbeat_interval_ms
        leadership.broadcast(self.commit_index)
        self.drain_leadership()

    def append_entry(self, entry: Entry) -> None:
        """Put an entry behind the last. A membership is in force from here on. thesis §4.1"""
        self.log.append(entry)
        self.durability.record(entry)
        if entry.kind == MEMBERSHIP:
            self.memberships.append(entry.index, decode_membership(entry.data))
        leadership = self.leadership
        if leadership is not None:
            leadership.uncommitted_bytes += len(entry.data)
            if entry.kind == MEMBERSHIP:
                leadership.set_membership(self.membership)

    def truncate_log(self, index: int) -> None:
        """Remove what contradicts the leader, from `index` on."""
        index = self.log.truncate(index)
        self.durability.record(TruncateRecord(index))
        self.durability.on_truncated(index)
        self.verified_index = min(self.verified_index, index - 1)
        self.memberships.truncate(index)

    def lose_from(self, index: int) -> None:
        """Give up what stands from `index` to the next hole: it contradicts the leader, what is behind may not."""
        while not self.log.is_lost(index):
            self.log.lose(index)
            self.memberships.remove(index)
            index += 1

    def set_commit(self, index: int) -> None:
        """Entries up to `index` are committed, says the leader; beyond a hole that helps nobody."""
        if self.log.lost:
            index = min(index, self.log.first_lost - 1)
        if index > self.commit_index:
            self.commit_index = index

    def set_election_deadline(self) -> None:
        """A random time, so that elections seldom collide. Raft §5.2"""
        timeout_ms = self.config.election_timeout_ms
        self.deadline_ms = self.now_ms + timeout_ms + self.prng.below(timeout_ms)

    def record_hard_state(self) -> None:
        """Nothing that was decided on it leaves before it is durable."""
        self.durability.record(HardStateRecord(self.current_term, self.voted_for, self.doubt.is_tail_doubtful))

    def propose_entry(self, kind: int, data: bytes) -> int:
        """Append and send an entry; see `propose`."""
        leadership = self.leadership
        if leadership is None:
            return NOT_LEADER
        if leadership.transferee:
            return TRANSFERRING
        pending = leadership.uncommitted_bytes
        if pending and pending + len(data) > self.config.uncommitted_bytes_max:
            return UNCOMMITTED_MAX
        self.wake()
        self.append_entry(Entry(self.log.last_index + 1, self.current_term, kind, data))
        leadership.broadcast(self.commit_index)
        self.drain_leadership()
        return self.log.last_index

    def drain_leadership(self) -> None:
        """Send what the leadership wants sent."""
        leadership = self.leadership
        if leadership is None:
            return
        if leadership.outbox:
            for to, message in leadership.outbox:
                self.durability.send(to, message)
            leadership.outbox = []
        if leadership.reads.done:
            for requester, context, index in leadership.reads.done:
                if requester == self.node:
                    self.reads_done.append((context, index))
                else:
                    self.durability.send(requester, ReadIndexReply(self.current_term, context, index))
            leadership.reads.done = []

    def wake(self) -> None:
        """Speak again after silence."""
        leadership = self.leadership
        if leadership is not None:
            leadership.active_ms = self.now_ms
            if leadership.is_idle:
                leadership.wake()
                self.deadline_ms = max(1, self.now_ms)
                self.quorum_deadline_ms = self.now_ms + self.config.election_timeout_ms
        elif self.is_idle:
            self.is_idle = False
            self.leader_heard_ms = self.now_ms  # It was silent on purpose: it has a timeout's time to speak.
            self.set_election_deadline()

    def on_rare_message(self, sender: int, message: Message) -> None:
        """What is not on the hot path."""
        if isinstance(message, RequestLastEntry):
            tell_last_entry(self, sender, message)
        elif isinstance(message, LastEntryReply):
            self.doubt.on_reply(sender, message)
            advance_doubt(self)
        elif isinstance(message, FetchEntries):
            leader_term = self.current_term if self.role == LEADER else 0
            reply = answer(self.log, message, self.config.append_bytes_max, leader_term)
            if reply is not None:
                self.durability.send(sender, reply)
        elif isinstance(message, RequestSnapshot):
            on_request_snapshot(self, sender, message)
        elif isinstance(message, FetchEntriesReply):
            on_fetched(self, sender, message)
        elif self.doubt.is_vote_doubtful:
            return
        elif isinstance(message, RequestPreVote):
            on_request_pre_vote(self, sender, message)
        elif isinstance(message, RequestPreVoteReply):
            on_request_pre_vote_reply(self, sender, message)
        elif isinstance(message, RequestVote):
            on_request_vote(self, sender, message)
        elif isinstance(message, RequestVoteReply):
            on_request_vote_reply(self, sender, message)
        elif isinstance(message, TimeoutNow):
            on_timeout_now(self, sender, message)
        elif isinstance(message, RequestReadIndex):
            if self.role == LEADER:
                begin_read(self, sender, message.context)
            else:
                self.durability.send(sender, ReadIndexReply(self.current_term, message.context, 0))
        elif isinstance(message, ReadIndexReply):
            self.on_read_index_reply(sender, message)

    def on_read_index_reply(self, sender: int, message: ReadIndexReply) -> None:
        """Anybody may refuse. An index counts from the leader that was asked: 1. node 1 is asked  2. node 2 leads, the
        same context is asked of it  3. what node 1 knew comes late, and is older than the second question."""
        is_answer = sender == self.leader and message.term == self.current_term
        if (is_answer or not message.index) and self.reads_asked.remove(message.context):
            self.reads_done.append((message.context, message.index))

    def fail_reads(self) -> None:
        """Whoever was asked leads no more."""
        for context in self.reads_asked.take_all():
            self.reads_done.append((context, 0))

    def check(self) -> None:
        """What must hold after every input."""
        assert self.log.base_index <= self.applied_index <= self.delivered_index <= self.commit_index
        assert self.commit_index <= self.log.last_index
        assert (self.leadership is not None) == (self.role == LEADER)
