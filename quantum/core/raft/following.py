"""What a replica takes over from the leader of its term. Source: Raft figure 2 "AppendEntries RPC", §5.3, §7."""

from typing import TYPE_CHECKING

from quantum.core.raft.entry import Entry
from quantum.core.raft.membership import Membership, MembershipHistory
from quantum.core.raft.mending import advance_doubt, fill_hole
from quantum.core.raft.messages import AppendEntries, AppendEntriesReply, Heartbeat, HeartbeatReply
from quantum.core.raft.records import SnapshotRecord, TruncateRecord
from quantum.core.raft.role import CANDIDATE, FOLLOWER, LEADER

if TYPE_CHECKING:
    from quantum.core.raft.raft import Raft


def follow(raft: "Raft", sender: int, term: int, sequence: int) -> bool:
    """The sender leads in `term`, or did once, which is not below current_term; True when it is known to live.

    1. node 1 leads and dies  2. the network delivers copies of what it said  3. if they were signs of life, nobody would
    be elected for as long as that takes.
    """
    assert raft.role != LEADER or term > raft.current_term
    is_alive = term > raft.current_term or sequence > raft.heard_sequence
    is_followed = raft.role == FOLLOWER and raft.leader == sender
    if term > raft.current_term or raft.role == CANDIDATE or (is_alive and not is_followed):
        raft.become_follower(term, sender)
    if is_alive:
        raft.heard_sequence = sequence
        raft.leader_heard_ms = raft.now_ms
        raft.is_idle = False
        raft.set_election_deadline()
    return is_alive


def on_append_entries(raft: "Raft", sender: int, message: AppendEntries) -> None:
    if message.term < raft.current_term:
        # A leader that was cut off, or one whom PreVote keeps from noticing our term: it must hear of it.
        raft.durability.send(sender, AppendEntriesReply(raft.current_term, False, 0))
        return
    if raft.doubt.is_vote_doubtful:
        return
    follow(raft, sender, message.term, message.sequence)
    previous_index = message.previous_index
    entries = message.entries
    if previous_index < raft.commit_index:
        # What is committed is the leader's already; begin behind it.
        skip = min(raft.commit_index - previous_index, len(entries))
        entries = entries[skip:]
        previous_index += skip
        if previous_index < raft.commit_index:
            reply_accepted(raft, sender)
            return
    elif raft.log.term_at(previous_index) != message.previous_term or raft.log.is_lost(previous_index):
        hint_index, hint_term = raft.log.hint(previous_index - 1, message.previous_term)
        _reply(raft, sender, AppendEntriesReply(raft.current_term, False, previous_index, hint_index, hint_term))
        return
    matched = _accept(raft, entries, previous_index)
    first_lost = raft.log.first_lost
    if not first_lost or previous_index < first_lost:
        # Behind a hole a fit says nothing of what stands in front: a truncation may be lost in there.
        raft.verified_index = max(raft.verified_index, matched)
        raft.set_commit(min(message.commit_index, matched))
    advance_doubt(raft)
    reply_accepted(raft, sender)


def _accept(raft: "Raft", entries: list[Entry], previous_index: int) -> int:
    """Take entries over, from the first that is not here yet; returns up to where the logs agree."""
    log = raft.log
    matched = previous_index
    for at, entry in enumerate(entries):
        index = entry.index
        if index <= log.last_index:
            if log.is_lost(index):
                continue  # The next entry tells whether the leader's fits in here.
            if log.term_at(index) == entry.term:
                _fill_before(raft, entries, at)
                matched = index
                continue
            assert index > raft.commit_index, f"leader {raft.leader} overwrites committed entry {index}"
            if log.lost and index < log.lost_range()[1]:
                # 1. 3@1  2. a new leader truncates to 3, sends 3@2, 4@2, 5@2  3. all of that but 5@2 is lost here. What
                # contradicts the leader is 3@1; of 5@2 that says nothing, and it may be committed.
                raft.lose_from(index)
                continue
            raft.truncate_log(index)
        for new in entries[log.last_index + 1 - entries[0].index :]:
            raft.append_entry(new)
        return entries[-1].index
    return matched


def _fill_before(raft: "Raft", entries: list[Entry], at: int) -> None:
    """entries[at] is here, and so is what stands in front of them all: those of them that are lost here are the same."""
    first = at
    while first > 0 and raft.log.is_lost(entries[first - 1].index):
        first -= 1
    if first < at:
        fill_hole(raft, entries[first:at])


def reply_accepted(raft: "Raft", to: int) -> None:
    """Acknowledge all that is here and known to be the leader's; it leaves when that is on this disk."""
    _reply(raft, to, AppendEntriesReply(raft.current_term, True, raft.proved_index))


def _reply(raft: "Raft", to: int, reply: AppendEntriesReply) -> None:
    reply.is_lost = raft.doubt.is_tail_doubtful or len(raft.log.lost) > 0
    reply.snapshot_index_min = raft.snapshot_index_min
    raft.durability.send_after_all(to, reply)


def on_heartbeat(raft: "Raft", sender: int, message: Heartbeat) -> None:
    if message.term < raft.current_term:
        raft.durability.send(sender, AppendEntriesReply(raft.current_term, False, 0))
        return
    if raft.doubt.is_vote_doubtful:
        return
    is_alive = follow(raft, sender, message.term, message.sequence)
    raft.set_commit(min(message.commit_index, raft.verified_index))
    if is_alive and message.is_idle and _may_fall_silent(raft, message):
        raft.is_idle = True
        raft.deadline_ms = 0
    raft.durability.send(
        sender,
        HeartbeatReply(raft.current_term, message.read_sequence, raft.is_idle, raft.proved_index, message.sequence),
    )
    advance_doubt(raft)
    if raft.log.lost or raft.doubt.is_tail_doubtful or raft.snapshot_index_min:
        reply_accepted(raft, sender)  # The leader may count on more than is left.


def _may_fall_silent(raft: "Raft", message: Heartbeat) -> bool:
    last_index = raft.log.last_index
    return (
        raft.doubt.is_settled
        and not raft.log.first_lost
        and not raft.snapshot_index_min
        and last_index == message.last_index == raft.commit_index == raft.durability.durable_index
    )


def install(raft: "Raft", index: int, term: int, membership: Membership) -> None:
    """Begin behind a snapshot; keep what follows it if that is of the same log. Raft figure 13, 6 and 7."""
    log = raft.log
    if log.term_at(index) == term and not log.is_lost(index):
        log.compact(index, term)
        raft.memberships.rebase(index, membership)  # The entry that made it may have been lost here.
        raft.durability.on_installed(index)
    else:
        # What follows a hole may have been acknowledged, whatever stands in front of the hole.
        is_tail_cut = log.lost and index <= log.lost_range()[1]
        if log.last_index > index:
            # Once the entry at `index` is deleted, the mark alone would not say whether what follows it stayed.
            raft.durability.record(TruncateRecord(index + 1))
        log.restart(index, term)
        raft.memberships = MembershipHistory(index, membership)
        raft.durability.on_restarted(index)
        if is_tail_cut:
            raft.doubt.begin_anew(raft.prng.u64())
            raft.record_hard_state()
    raft.durability.record(SnapshotRecord(index, term, membership))
    raft.snapshot_index_min = 0
    raft.commit_index = max(raft.commit_index, index)
    raft.applied_index = index
    raft.delivered_index = index
    raft.verified_index = max(raft.verified_index, index)
    advance_doubt(raft)
