"""What a replica does in office: commits, keeps its quorum, answers reads.

Source: Raft figure 2 "Leaders", §5.4.2, §8; thesis §4.3, §6.2, §6.4.
"""

from typing import TYPE_CHECKING

from quantum.core.raft.entry import MEMBERSHIP, Entry
from quantum.core.raft.leadership import Leadership
from quantum.core.raft.membership import Membership, encode_membership
from quantum.core.raft.messages import AppendEntriesReply, HeartbeatReply

if TYPE_CHECKING:
    from quantum.core.raft.raft import Raft


def on_append_reply(raft: "Raft", sender: int, message: AppendEntriesReply) -> None:
    if message.term > raft.current_term:
        raft.become_follower(message.term, 0)
    elif raft.leadership is not None and message.term == raft.current_term:
        if raft.leadership.on_append_reply(sender, message, raft.commit_index):
            advance_commit(raft)


def on_heartbeat_reply(raft: "Raft", sender: int, message: HeartbeatReply) -> None:
    if message.term > raft.current_term:
        raft.become_follower(message.term, 0)
    elif raft.leadership is not None and message.term == raft.current_term:
        raft.leadership.on_heartbeat_reply(sender, message, raft.commit_index)


def advance_commit(raft: "Raft") -> None:
    """Commit what a quorum has on disk, if its last entry is of this term. Raft §5.4.2"""
    leadership = raft.leadership
    assert leadership is not None
    index = leadership.committed_index(raft.durability.durable_index)
    if index <= raft.commit_index or raft.log.term_at(index) != raft.current_term:
        return
    for each in range(raft.commit_index + 1, index + 1):
        leadership.uncommitted_bytes -= len(raft.log.entry(each).data)
    raft.commit_index = index
    for requester, context in leadership.reads.take_early():
        begin_read(raft, requester, context)
    on_membership_committed(raft, leadership)
    if raft.leadership is not None:
        leadership.broadcast(index)


def on_membership_committed(raft: "Raft", leadership: Leadership) -> None:
    """Leave a joint membership; step down once one without this node is committed. thesis §4.3, §4.2.2"""
    if raft.commit_index < max(raft.memberships.latest_index, leadership.term_start):
        return
    membership = raft.membership
    if membership.is_joint():
        final_membership = Membership(membership.voters, (), membership.learners)
        raft.append_entry(
            Entry(raft.log.last_index + 1, raft.current_term, MEMBERSHIP, encode_membership(final_membership))
        )
    elif not membership.is_voter(raft.node):
        leadership.broadcast(raft.commit_index)  # They shall know that it is committed.
        raft.drain_leadership()
        raft.become_follower(raft.current_term, 0)


def on_beat(raft: "Raft") -> None:
    leadership = raft.leadership
    assert leadership is not None
    if raft.now_ms >= raft.quorum_deadline_ms:
        raft.quorum_deadline_ms = raft.now_ms + raft.config.election_timeout_ms
        if not leadership.count_quorum():
            raft.become_follower(raft.current_term, 0)
            return
    if leadership.transferee and raft.now_ms >= leadership.transfer_deadline_ms:
        leadership.transferee = 0
    idle_after_ms = raft.config.idle_after_ms
    if idle_after_ms and raft.now_ms - leadership.active_ms >= idle_after_ms:
        leadership.is_idle = leadership.may_fall_silent(raft.commit_index)
    if leadership.is_silent():
        raft.deadline_ms = 0
        return
    leadership.beat(raft.commit_index)
    raft.deadline_ms = raft.now_ms + raft.config.heartbeat_interval_ms
    raft.drain_leadership()


def begin_read(raft: "Raft", requester: int, context: int) -> None:
    leadership = raft.leadership
    assert leadership is not None
    raft.wake()
    if leadership.transferee or len(leadership.reads) >= raft.config.reads_max:
        leadership.reads.done.append((requester, context, 0))
    elif not raft.is_committed_in_own_term():
        leadership.reads.add_early(requester, context)
    else:
        leadership.reads.add(requester, context, raft.commit_index)
        leadership.confirm_reads()
        if leadership.reads.is_confirming:
            leadership.beat(raft.commit_index)
