"""Elections: who asks for votes, who gives one.

Source: Raft §5.2, §5.4.1; thesis §3.10 (transfer), §4.2.3 and §6.2 (a heard leader is not deposed), §9.6 (PreVote).
"""

from typing import TYPE_CHECKING

from quantum.core.raft.messages import (
    Message,
    RequestPreVote,
    RequestPreVoteReply,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)
from quantum.core.raft.quorum import DEFEATED, WON, vote_outcome
from quantum.core.raft.role import CANDIDATE, FOLLOWER, LEADER, PRE_CANDIDATE

if TYPE_CHECKING:
    from quantum.core.raft.raft import Raft


def on_election_timeout(raft: "Raft") -> None:
    raft.is_idle = False
    raft.set_election_deadline()
    if raft.may_campaign():
        become_pre_candidate(raft)
    elif raft.role != FOLLOWER:
        raft.become_follower(raft.current_term, 0)


def become_pre_candidate(raft: "Raft") -> None:
    """Ask before disturbing anybody with a new term. thesis §9.6"""
    raft.fail_reads()
    raft.role = PRE_CANDIDATE
    raft.leader = 0
    raft.votes = {raft.node: True}
    request = RequestPreVote(raft.current_term + 1, raft.log.last_index, raft.log.last_term)
    request_votes(raft, request)


def become_candidate(raft: "Raft", *, is_transfer: bool) -> None:
    raft.fail_reads()
    raft.set_election_deadline()
    raft.role = CANDIDATE
    raft.leader = 0
    raft.current_term += 1
    raft.voted_for = raft.node
    raft.verified_index = 0
    raft.heard_sequence = -1
    raft.record_hard_state()
    raft.votes = {raft.node: True}
    request = RequestVote(raft.current_term, raft.log.last_index, raft.log.last_term, is_transfer)
    request_votes(raft, request)


def request_votes(raft: "Raft", request: Message) -> None:
    for node in raft.membership.all_voters():
        if node != raft.node:
            raft.durability.send(node, request)
    count_votes(raft)


def count_votes(raft: "Raft") -> None:
    outcome = vote_outcome(raft.membership, raft.votes)
    if outcome == DEFEATED:
        raft.become_follower(raft.current_term, 0)
    elif outcome == WON:
        if raft.role == PRE_CANDIDATE:
            become_candidate(raft, is_transfer=False)
        else:
            raft.become_leader()


def is_leader_alive(raft: "Raft") -> bool:
    """A leader was heard of so recently that nobody else should be helped. thesis §4.2.3, §6.2"""
    if raft.role == LEADER:
        return True
    if not raft.leader:
        return False
    return raft.is_idle or raft.now_ms - raft.leader_heard_ms < raft.config.election_timeout_ms


def is_up_to_date(raft: "Raft", last_index: int, last_term: int) -> bool:
    """Raft §5.4.1: the last terms decide, then the lengths."""
    return (last_term, last_index) >= (raft.log.last_term, raft.log.last_index)


def on_request_pre_vote(raft: "Raft", sender: int, message: RequestPreVote) -> None:
    if raft.role == LEADER or raft.is_idle:
        raft.wake()  # Somebody does not hear the leader that fell silent.
    may_grant = (
        not is_leader_alive(raft)
        and message.term > raft.current_term
        and may_vote_for(raft, message.last_index, message.last_term)
    )
    term = message.term if may_grant else raft.current_term
    raft.durability.send(sender, RequestPreVoteReply(term, may_grant))


def may_vote_for(raft: "Raft", last_index: int, last_term: int) -> bool:
    return is_up_to_date(raft, last_index, last_term) and raft.doubt.may_count_on(last_term, last_index)


def on_request_pre_vote_reply(raft: "Raft", sender: int, message: RequestPreVoteReply) -> None:
    if not message.is_granted and message.term > raft.current_term:
        raft.become_follower(message.term, 0)
    elif raft.role == PRE_CANDIDATE and (not message.is_granted or message.term == raft.current_term + 1):
        raft.votes.setdefault(sender, message.is_granted)
        count_votes(raft)


def on_request_vote(raft: "Raft", sender: int, message: RequestVote) -> None:
    if message.term < raft.current_term:
        raft.durability.send(sender, RequestVoteReply(raft.current_term, False))
        return
    if not message.is_transfer and is_leader_alive(raft) and raft.leader != sender:
        raft.wake()
        return
    if message.term > raft.current_term:
        raft.become_follower(message.term, 0)
    may_grant = raft.voted_for == sender or (
        raft.voted_for == 0 and not raft.leader and may_vote_for(raft, message.last_index, message.last_term)
    )
    if may_grant:
        if raft.voted_for == 0:
            raft.voted_for = sender
            raft.record_hard_state()
        raft.set_election_deadline()
    raft.durability.send(sender, RequestVoteReply(raft.current_term, may_grant))


def on_request_vote_reply(raft: "Raft", sender: int, message: RequestVoteReply) -> None:
    if message.term > raft.current_term:
        raft.become_follower(message.term, 0)
    elif raft.role == CANDIDATE and message.term == raft.current_term:
        raft.votes.setdefault(sender, message.is_granted)
        count_votes(raft)


def on_timeout_now(raft: "Raft", sender: int, message: TimeoutNow) -> None:
    if message.term == raft.current_term and raft.leader == sender and raft.role == FOLLOWER:
        if raft.may_campaign() and raft.durability.durable_index >= message.index:
            become_candidate(raft, is_transfer=True)
