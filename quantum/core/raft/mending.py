"""How a replica gets over damage: settles its doubts and fills its holes. See `doubt` and `repair` for why it may.

A replica that doubts its vote hears nothing but answers to its questions, and answers those of others.
"""

from typing import TYPE_CHECKING, Final

from quantum.core.raft.entry import MEMBERSHIP, Entry
from quantum.core.raft.membership import decode_membership, encode_membership
from quantum.core.raft.messages import FetchEntriesReply, LastEntryReply, RequestLastEntry, RequestSnapshot
from quantum.core.raft.records import RepairRecord
from quantum.core.raft.role import LEADER

if TYPE_CHECKING:
    from quantum.core.raft.raft import Raft

SNAPSHOT_TIMEOUTS: Final = 5  # election timeouts in which a peer's snapshot should have come, before another is asked


def advance_doubt(raft: "Raft") -> None:
    """Settle what can be settled by now; ask again for the rest."""
    doubt = raft.doubt
    if doubt.is_settled:
        return
    memberships = raft.memberships
    others = doubt.others(raft.node, memberships.latest, memberships.latest_index)
    if doubt.has_heard(others):
        doubt.set_floor()
        if doubt.is_vote_doubtful:
            doubt.is_vote_doubtful = False
            if doubt.greatest_term() > raft.current_term or not raft.voted_for:
                raft.voted_for = raft.node  # Whoever this vote was given to, nobody gets it again.
            raft.current_term = max(raft.current_term, doubt.greatest_term())
            raft.record_hard_state()
    if doubt.is_tail_doubtful and not doubt.is_vote_doubtful and _has_all_there_was(raft):
        doubt.is_tail_doubtful = False
        raft.record_hard_state()
    if not doubt.is_settled and not raft.doubt_deadline_ms:
        _ask(raft, others)


def _has_all_there_was(raft: "Raft") -> bool:
    log = raft.log
    if log.lost or raft.snapshot_index_min:
        return False
    term, index = raft.doubt.target
    if term == raft.current_term and raft.verified_index >= index and raft.durability.durable_index >= index:
        return True
    durable_index = raft.durability.durable_index
    return raft.doubt.is_above_floor(log.term_at(durable_index), durable_index)


def _ask(raft: "Raft", others: list[int]) -> None:
    """Until all have told, all are asked: 1. node 2 told, node 1 is gone for good  2. node 1 is removed  3. only when it
    is asked again, node 2 tells that node 1 is not waited for any more."""
    doubt = raft.doubt
    request = RequestLastEntry(doubt.nonce)
    asked = [] if doubt.has_heard(others) else others
    if raft.leader and raft.leader not in asked and doubt.target[0] != raft.current_term:
        asked.append(raft.leader)
    for node in asked:
        if node != raft.node:
            raft.durability.send(node, request)
    raft.doubt_deadline_ms = raft.now_ms + raft.config.heartbeat_interval_ms


def tell_last_entry(raft: "Raft", to: int, request: RequestLastEntry) -> None:
    """A leader tells the end of its log, whatever of it is durable: followers may have more of it on disk than it has
    itself. Others tell what is durable, because nothing else was ever acknowledged."""
    log = raft.log
    index = log.last_index if raft.role == LEADER else raft.durability.durable_index
    memberships = raft.memberships
    raft.durability.send(
        to,
        LastEntryReply(
            request.nonce,
            raft.current_term,
            index,
            log.term_at(index),
            raft.role == LEADER,
            memberships.latest_index,
            encode_membership(memberships.latest),
        ),
    )


def ask_again(raft: "Raft", now_ms: int) -> None:
    """Ask for what is lost here, once it is time."""
    if raft.repair.is_due(raft.log, now_ms):
        _fetch_lost(raft)
    if now_ms >= raft.snapshot_due_ms:
        raft.snapshot_due_ms = now_ms + SNAPSHOT_TIMEOUTS * raft.config.election_timeout_ms
        _ask_for_snapshot(raft)


def _fetch_lost(raft: "Raft") -> None:
    """Ask everybody for what was lost."""
    request = raft.repair.request(raft.log, raft.now_ms)
    for node in raft.membership.members():
        if node != raft.node:
            raft.durability.send(node, request)


def _ask_for_snapshot(raft: "Raft") -> None:
    """Ask one peer after the other for a snapshot that holds what is lost here, as long as no leader takes care of that.
    1. all compacted what this replica lost  2. it has entries that others may have acknowledged and lost  3. so nobody
    leads before it is whole, and no leader sends what makes it whole."""
    others = [node for node in raft.membership.members() if node != raft.node]
    if raft.leader or raft.doubt.is_vote_doubtful or not others:
        return
    raft.snapshots_asked += 1
    index_min = raft.snapshot_index_min or raft.log.first_lost_end
    index_term = raft.log.base_term if raft.snapshot_index_min == raft.log.base_index else 0
    request = RequestSnapshot(raft.current_term, index_min, index_term)
    raft.durability.send(others[raft.snapshots_asked % len(others)], request)


def on_request_snapshot(raft: "Raft", sender: int, message: RequestSnapshot) -> None:
    """What is applied is committed, and can be given to any member. What the sender had in a snapshot was committed in a
    term not above its own: where nobody leads, this replica may learn that in no other way. 1. node 1 has the best end
    of a log, and lost its state  2. the others have all entries of that state, and doubt their ends  3. so nobody leads
    before node 1 is whole, and nobody else knows what is committed."""
    if sender not in raft.membership.members():
        return
    if message.index_term and raft.role != LEADER and not raft.doubt.is_vote_doubtful:
        if message.term > raft.current_term:
            raft.become_follower(message.term, 0)
        if not raft.leader and raft.log.term_at(message.index_min) == message.index_term:
            raft.set_commit(message.index_min)
    is_here = not raft.snapshot_index_min and raft.applied_index >= message.index_min
    if is_here:
        raft.snapshots_wanted.append((sender, max(message.index_min, raft.log.base_index)))


def on_fetched(raft: "Raft", sender: int, reply: FetchEntriesReply) -> None:
    """A peer has some of what was lost, or the leader says that it is not worth having."""
    repair, log = raft.repair, raft.log
    if not log.lost:
        return  # The hole went another way, by a truncation or a snapshot, and what was collected for it stays behind.
    if not reply.entries:
        is_leaders = sender == raft.leader and reply.leader_term == raft.current_term
        if is_leaders and repair.is_about(log, reply):
            raft.truncate_log(reply.next_index)
        return
    closing = repair.collect(log, reply)
    if repair.is_refuted(raft.proved_index):
        raft.truncate_log(log.lost_range()[1] + 1)
    elif closing:
        fill_hole(raft, closing)
        advance_doubt(raft)


def fill_hole(raft: "Raft", closing: list[Entry]) -> None:
    """Take the entries, ascending, of a hole over; they fit the log in front of it and behind it."""
    for entry in closing:
        index = entry.index
        if not raft.log.is_lost(index):
            assert index > raft.proved_index, f"proved entry {index} is another one at a peer"
            raft.log.lose(index)
            raft.memberships.remove(index)
        raft.log.fill(entry)
        raft.repair.filled_count += 1
        raft.durability.record(RepairRecord(entry))
        if entry.kind == MEMBERSHIP:
            raft.memberships.restore(index, decode_membership(entry.data))
