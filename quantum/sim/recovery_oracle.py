"""What a replica starts with, against what its disk surely held: once for every process, before anybody speaks to it.

A disk that nobody damaged gives back everything that was synced. A damaged one may have lost some of it, and then the
replica must know: an entry is lost by name or in front of one that is, the tail is doubted, the vote is doubted. Laws W1,
W2, W4 and W6; the other checks of a disk boot a second replica (`autopsy`), this one looks at the one that will vote.
"""

from typing import final

from quantum.core.raft.raft import Raft
from quantum.sim.book import Book
from quantum.sim.synced_log import SyncedLog


@final
class RecoveryOracle:
    """Judges starts."""

    __slots__ = ("_book",)

    def __init__(self, book: Book) -> None:
        self._book = book

    def on_started(self, number: int, synced: SyncedLog, raft: Raft, *, was_damaged: bool) -> None:
        """The replica of a new process takes part from now on."""
        self._check_vote(number, synced, raft, was_damaged)
        self._check_entries(number, synced, raft, was_damaged)
        if was_damaged:
            self._forget(synced, raft)

    def _check_vote(self, number: int, synced: SyncedLog, raft: Raft, was_damaged: bool) -> None:
        """W6: no older term, no other vote. One batch may be damaged, so what stands in one batch may be lost."""
        term, vote = synced.sure_at_start if was_damaged else synced.at_start
        if raft.current_term > term or (raft.current_term == term and vote in (0, raft.voted_for)):
            return
        if was_damaged and raft.doubt.is_vote_doubtful:
            self._book.sometimes("storage.vote.doubted")
            return
        self._book.violate(
            "W6",
            f"the disk of node {number} held term {term} with a vote for node {vote}",
            f"its next process began in term {raft.current_term} with a vote for node {raft.voted_for}",
        )

    def _check_entries(self, number: int, synced: SyncedLog, raft: Raft, was_damaged: bool) -> None:
        log = raft.log
        # In front of a hole an entry counts only when a peer has proved it: the damage may have held a truncation.
        doubtful_from = log.base_index + 1 if was_damaged and raft.doubt.is_tail_doubtful else synced.last_index + 1
        doubtful_to = log.lost_range()[1] if was_damaged and log.first_lost else log.base_index
        for index in range(log.base_index + 1, synced.last_index + 1):
            term = synced.terms.get(index)
            if term is None or index >= doubtful_from or index <= doubtful_to or log.term_at(index) == term:
                continue
            found = "" if index > log.last_index else f", and term {log.term_at(index)} there"
            self._book.violate(
                "W4" if was_damaged else "W1",
                f"the disk of node {number} held entry {index} of term {term}",
                f"its next process began with {log.base_index + 1} to {log.last_index}{found}, without a doubt",
            )
            return
        if not was_damaged:
            self._check_order(number, synced, raft)

    def _check_order(self, number: int, synced: SyncedLog, raft: Raft) -> None:
        """W2: what was never synced may stand behind what was, but nothing that was cut before."""
        log = raft.log
        for index in range(max(synced.last_index, log.base_index) + 1, log.last_index + 1):
            if log.term_at(index) < log.term_at(index - 1):
                self._book.violate(
                    "W2",
                    f"entry {index - 1} of node {number} has term {log.term_at(index - 1)}, so what followed was cut",
                    f"its next process found entry {index} of term {log.term_at(index)} behind it",
                )
                return

    @staticmethod
    def _forget(synced: SyncedLog, raft: Raft) -> None:
        """What is known to be lost, or doubted, need not be there next time."""
        log = raft.log
        is_doubted = raft.doubt.is_tail_doubtful
        for index in [each for each in synced.terms if each > log.base_index]:
            if index > log.last_index or log.is_lost(index) or log.term_at(index) != synced.terms[index]:
                synced.give_up(index)
        if is_doubted:
            synced.last_index = min(synced.last_index, log.last_index)
