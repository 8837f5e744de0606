"""Goal: what is recovered of a damaged log is never wrong and never silently short. Method: scripts for each rule; then
random logs of a follower under many leaders, each damaged in one batch, healed as a replica heals itself from a peer that
has the whole log, and compared with the log as it was."""

import pytest

from quantum.core.prng import Prng
from quantum.core.raft.entry import COMMAND, LOST, Entry
from quantum.core.raft.membership import Membership, encode_membership
from quantum.core.raft.recovered import Recovered
from quantum.core.wal.damage import Damage
from quantum.core.wal.frame import Frame, GroupEntry, HardState, Note, Repair, SnapshotMark, Truncate
from quantum.core.wal.replay import GroupLog, hard_state_of

VOTERS = Membership((1, 2, 3))
DAMAGE = Damage(1, 64, 4, 5, "one batch")
DAMAGE_OF_TWO = Damage(1, 64, 4, 6, "two batches")
HARMLESS = Damage(1, 64, 4, 4, "nothing that is missed")


def entry(index: int, term: int = 1) -> GroupEntry:
    return GroupEntry(1, Entry(index, term, COMMAND, b"%d@%d" % (index, term)))


def entries(first: int, last: int, term: int = 1) -> list[GroupEntry]:
    return [entry(index, term) for index in range(first, last + 1)]


def read(items: list[Frame | Damage], floor: int = 0) -> GroupLog:
    log = GroupLog(1, floor)
    for item in items:
        if isinstance(item, Damage):
            log.on_damage(item)
        else:
            log.on_frame(item)
    return log


def recovered(*items: Frame | Damage, index: int = 0, term: int = 0) -> Recovered:
    return read([HardState(1, 1, 1), *items], index).recovered(index, term, VOTERS, is_snapshot_lost=False)


def shape(found: Recovered) -> list[int]:
    """The terms of the entries, 0 where one is lost."""
    return [each.term for each in found.entries]


def test_a_whole_log_is_recovered_without_doubts() -> None:
    found = recovered(*entries(1, 3), HardState(1, 2, 3), entry(4, 2))
    assert [1, 1, 1, 2] == shape(found)
    assert (2, 3, False, False) == (
        found.current_term,
        found.voted_for,
        found.is_tail_doubtful,
        found.is_vote_doubtful,
    )


def test_a_truncation_takes_entries_away_for_good() -> None:
    assert [1, 1] == shape(recovered(*entries(1, 5), Truncate(1, 3)))
    assert [1, 1, 2] == shape(recovered(*entries(1, 5), Truncate(1, 3), HardState(1, 2, 1), entry(3, 2)))


def test_what_is_missing_behind_damage_is_lost_and_the_tail_doubtful() -> None:
    found = recovered(*entries(1, 2), DAMAGE, *entries(5, 6))
    assert [1, 1, 0, 0, 1, 1] == shape(found)
    assert [LOST, LOST] == [each.kind for each in found.entries[2:4]]
    assert found.is_tail_doubtful
    assert not found.is_vote_doubtful


def test_an_entry_of_the_same_term_proves_the_one_in_front_of_the_damage() -> None:
    assert [1, 1, 1, 1] == shape(recovered(*entries(1, 2), DAMAGE, *entries(3, 4)))


def test_an_entry_of_another_term_does_not() -> None:
    found = recovered(*entries(1, 2), DAMAGE, HardState(1, 2, 0), *entries(3, 4, 2))
    assert [1, 0, 2, 2] == shape(found)


def test_an_entry_that_was_there_already_shows_a_lost_truncation() -> None:
    found = recovered(*entries(1, 6), DAMAGE, HardState(1, 2, 0), entry(4, 2))
    assert [1, 1, 0, 2] == shape(found)


def test_damage_at_the_end_makes_the_tail_doubtful() -> None:
    found = recovered(*entries(1, 3), DAMAGE)
    assert [1, 1, 1] == shape(found)
    assert found.is_tail_doubtful


def test_the_last_entry_is_never_lost() -> None:
    found = recovered(*entries(1, 2), DAMAGE, Truncate(1, 5))
    assert [1, 1] == shape(found)
    assert found.is_tail_doubtful


def test_two_lost_batches_may_have_held_a_vote_unless_one_follows() -> None:
    assert recovered(*entries(1, 2), DAMAGE_OF_TWO).is_vote_doubtful
    assert recovered(*entries(1, 2), DAMAGE_OF_TWO, *entries(3, 4)).is_vote_doubtful
    assert not recovered(*entries(1, 2), DAMAGE_OF_TWO, HardState(1, 2, 3)).is_vote_doubtful
    assert not recovered(*entries(1, 2), DAMAGE).is_vote_doubtful


def test_a_doubtful_hard_state_settles_nothing() -> None:
    found = recovered(DAMAGE_OF_TWO, HardState(1, 1, 1, is_tail_doubtful=True, is_vote_doubtful=True))
    assert found.is_vote_doubtful
    assert found.is_tail_doubtful
    assert HardState(1, 1, 1, is_tail_doubtful=True, is_vote_doubtful=True) == hard_state_of(1, found)


def test_no_hard_state_behind_damage_is_a_lost_vote() -> None:
    log = read([DAMAGE, *entries(3, 4)], 2)
    assert log.recovered(2, 1, VOTERS, is_snapshot_lost=False).is_vote_doubtful


def test_an_entry_of_a_later_term_than_the_hard_state_shows_a_lost_vote() -> None:
    found = recovered(*entries(1, 2), DAMAGE, entry(3, 5))
    assert (5, 0, True) == (found.current_term, found.voted_for, found.is_vote_doubtful)


def test_a_noted_damage_is_doubted_until_the_replica_settled_it() -> None:
    log: list[Frame | Damage] = [*entries(1, 3), DAMAGE]
    assert recovered(*log, HardState(1, 1, 1)).is_tail_doubtful
    log += [DAMAGE.note(), HardState(1, 1, 1, is_tail_doubtful=True)]
    assert recovered(*log).is_tail_doubtful
    assert not recovered(*log, HardState(1, 1, 1)).is_tail_doubtful
    assert recovered(*log, HardState(1, 1, 1), DAMAGE_OF_TWO).is_tail_doubtful
    assert recovered(*log[:-2], Note(1, 64, 4, 9), HardState(1, 1, 1)).is_tail_doubtful


def test_harmless_damage_still_makes_the_tail_doubtful_and_loses_nothing() -> None:
    found = recovered(*entries(1, 2), HARMLESS, HardState(1, 2, 1), entry(3, 2))
    assert [1, 1, 2] == shape(found)
    assert found.is_tail_doubtful


def test_a_repair_fills_its_hole_and_changes_nothing_behind() -> None:
    hole: list[Frame | Damage] = [*entries(1, 2), DAMAGE, HardState(1, 2, 0), *entries(5, 6, 2), DAMAGE.note()]
    assert [1, 1, 0, 0, 2, 2] == shape(recovered(*hole))
    repairs = [Repair(1, Entry(3, 2, COMMAND, b"3")), Repair(1, Entry(4, 2, COMMAND, b"4"))]
    found = recovered(*hole, *repairs)
    assert [1, 1, 2, 2, 2, 2] == shape(found)
    assert [b"3", b"4"] == [each.data for each in found.entries[2:4]]
    assert [1, 1, 2, 0, 2, 2] == shape(recovered(*hole, repairs[0]))


def test_a_repair_replaces_what_a_lost_truncation_left() -> None:
    hole: list[Frame | Damage] = [*entries(1, 6), DAMAGE, HardState(1, 2, 0), entry(5, 2), DAMAGE.note()]
    repairs = [Repair(1, Entry(index, 2, COMMAND, b"")) for index in (3, 4)]
    assert [1, 1, 2, 2, 2] == shape(recovered(*hole, *repairs))


def test_a_repair_in_front_of_which_more_is_damaged_now_leaves_the_proof_to_a_peer() -> None:
    hole: list[Frame | Damage] = [*entries(1, 6), DAMAGE_OF_TWO, HardState(1, 2, 0), entry(5, 2), DAMAGE.note()]
    repairs = [Repair(1, Entry(index, 2, COMMAND, b"")) for index in (3, 4)]
    assert [1, 0, 2, 2, 2] == shape(recovered(*hole, *repairs))


def test_such_a_repair_proves_nothing_once_it_is_truncated() -> None:
    hole: list[Frame | Damage] = [*entries(1, 6), DAMAGE_OF_TWO, HardState(1, 2, 0), entry(5, 2), DAMAGE.note()]
    repairs = [Repair(1, Entry(index, 2, COMMAND, b"")) for index in (3, 4)]
    assert [0, 3] == shape(recovered(*hole, *repairs, HardState(1, 3, 0), Truncate(1, 2), entry(2, 3)))
    assert [1, 0, 3] == shape(recovered(*hole, *repairs, HardState(1, 3, 0), Truncate(1, 3), entry(3, 3)))


def test_a_hole_at_the_end_is_cut_and_doubted() -> None:
    found = recovered(entry(1), DAMAGE, entry(4), DAMAGE.note(), HardState(1, 1, 1), Truncate(1, 4))
    assert [1] == shape(found)
    assert found.is_tail_doubtful


def test_what_a_later_life_says_is_said_of_the_log_that_it_read() -> None:
    end: list[Frame | Damage] = [*entries(1, 3), DAMAGE, DAMAGE.note(), HardState(1, 2, 0)]
    assert [1, 1, 1, 2] == shape(recovered(*end, entry(4, 2)))
    assert [1, 2] == shape(recovered(*end, Truncate(1, 2), entry(2, 2)))
    hole: list[Frame | Damage] = [*entries(1, 2), DAMAGE, HardState(1, 2, 0), *entries(4, 5, 2)]
    assert [1, 0, 3] == shape(recovered(*hole, HardState(1, 3, 0), Truncate(1, 3), entry(3, 3)))
    assert [1, 1, 3] == shape(recovered(*hole, DAMAGE.note(), HardState(1, 3, 0), Truncate(1, 3), entry(3, 3)))


def test_entries_in_the_snapshot_are_not_kept() -> None:
    found = recovered(*entries(1, 6), index=4, term=1)
    assert (4, 1, [5, 6]) == (found.snapshot_index, found.snapshot_term, [each.index for each in found.entries])


def test_the_log_begins_anew_behind_the_snapshot_of_a_peer() -> None:
    mark = SnapshotMark(1, 8, 2, bytes(32), encode_membership(VOTERS))
    assert [] == shape(recovered(*entries(1, 3), mark, index=8, term=2))
    assert [2] == shape(recovered(*entries(1, 3), mark, HardState(1, 2, 0), entry(9, 2), index=8, term=2))


def test_a_snapshot_cut_here_leaves_what_follows_it() -> None:
    mark = SnapshotMark(1, 3, 1, bytes(32), encode_membership(VOTERS))
    assert [1, 1, 1] == shape(recovered(*entries(1, 5), mark, entry(6), index=3, term=1))


def test_a_snapshot_of_a_peer_that_the_log_does_not_know_of_yet_replaces_a_log_of_another_lineage() -> None:
    assert [] == shape(recovered(*entries(1, 5), index=3, term=2))
    assert [1, 1] == shape(recovered(*entries(1, 5), index=3, term=1))


def test_a_lost_snapshot_is_known_by_its_mark() -> None:
    joint = Membership((1, 2), (1, 2, 3))
    log = read([HardState(1, 2, 0), SnapshotMark(1, 8, 2, bytes(32), encode_membership(joint)), entry(9, 2)])
    found = log.recovered(0, 0, VOTERS, is_snapshot_lost=True)
    assert (8, 2, joint, True, [2]) == (
        found.snapshot_index,
        found.snapshot_term,
        found.membership,
        found.is_snapshot_lost,
        shape(found),
    )


def test_a_snapshot_that_is_gone_with_its_entries_is_lost() -> None:
    mark = SnapshotMark(1, 8, 2, bytes(32), encode_membership(VOTERS))
    log = read([HardState(1, 2, 0), mark, *entries(9, 10, 2)])
    found = log.recovered(0, 0, VOTERS, is_snapshot_lost=False)
    assert (8, True, [2, 2]) == (found.snapshot_index, found.is_snapshot_lost, shape(found))


def test_a_log_that_begins_behind_its_snapshot_is_doubted() -> None:
    found = recovered(*entries(4, 5), index=2, term=1)
    assert [0, 1, 1] == shape(found)
    assert found.is_tail_doubtful


# -- random logs --------------------------------------------------------------------------------------------------------


class Follower:
    """A replica's log in batches, as leaders come and go. A term has one leader, who only appends in it."""

    def __init__(self, prng: Prng) -> None:
        self.prng = prng
        self.batches: list[list[Frame]] = []
        self.log: list[Entry] = []
        self.term = 1
        self.vote = 1
        self._lines: list[list[Entry]] = [[]]
        self._batch: list[Frame] = [HardState(1, 1, 1)]
        self._copy: list[Frame] = []
        self._end_batch()

    def _end_batch(self) -> None:
        hard_states: list[Frame] = [each for each in self._batch if isinstance(each, HardState)]
        self.batches.append(self._copy + self._batch)
        self._copy = hard_states[-1:]
        self._batch = []

    def step(self) -> None:
        prng = self.prng
        if prng.chance(1, 3):
            self.term += 1 + prng.below(2)
            self.vote = prng.below(3)
            self._batch.append(HardState(1, self.term, self.vote))
            base = self._lines[prng.below(len(self._lines))]
            # What the leader has of others, and at least the entry that its own term begins with.
            line = base[: prng.below(len(base) + 1)]
            self._lines.append([*line, self._made(len(line) + 1)])
        line = self._lines[-1]
        if self.term > 1:
            for _ in range(prng.below(4)):
                line.append(self._made(len(line) + 1))
        self._follow(line[: prng.below(len(line) + 1)])
        if prng.chance(2, 3):
            self._end_batch()

    def _made(self, index: int) -> Entry:
        return Entry(index, self.term, COMMAND, b"%d@%d" % (index, self.term))

    def _follow(self, line: list[Entry]) -> None:
        same = 0
        while same < min(len(line), len(self.log)) and line[same] == self.log[same]:
            same += 1
        if same == len(line):
            return
        if same < len(self.log):
            self._batch.append(Truncate(1, same + 1))
        self._batch += [GroupEntry(1, each) for each in line[same:]]
        self.log = line[:]

    def close(self) -> None:
        """Write what waits, and the copy of its hard state."""
        self._end_batch()
        if self._copy:
            self._end_batch()


def healed(found: list[Entry], truth: list[Entry]) -> list[Entry]:
    """What a replica makes of it with the help of a peer that has all of `truth`: holes are filled from behind, and
    what stands in front of them goes too where it does not fit."""
    log = list(found)
    for index in range(len(log), 0, -1):
        if log[index - 1].kind == LOST:
            assert index < len(log), "the last entry is never lost"
            if log[index] != truth[index]:
                return []  # The end is no longer true: the tail must be doubtful.
            log[index - 1] = truth[index - 1]
            if index > 1 and log[index - 2].kind != LOST and log[index - 2].term != truth[index - 2].term:
                log[index - 2] = Entry(index - 1, 0, LOST, b"")
    return log


@pytest.mark.parametrize("seed", range(60))
def test_one_damaged_run_of_batches_costs_nothing_that_is_not_known(seed: int) -> None:
    follower = Follower(Prng(seed))
    for _ in range(25):
        follower.step()
    follower.close()
    truth = follower.log
    whole = read([frame for batch in follower.batches for frame in batch])
    assert truth == whole.recovered(0, 0, VOTERS, is_snapshot_lost=False).entries
    for count in (1, 2, 3):
        for at in range(len(follower.batches) - count + 1):
            items: list[Frame | Damage] = []
            for number, batch in enumerate(follower.batches):
                if number == at:
                    items.append(Damage(1, 0, at + 1, at + 1 + count, ""))
                if not at <= number < at + count:
                    items += batch
            found = read(items).recovered(0, 0, VOTERS, is_snapshot_lost=False)
            assert found.is_tail_doubtful
            whole_again = healed(found.entries, truth)
            # A log that still ends as it did is the log as it was; another end is a doubtful tail.
            if found.entries and found.entries[-1] in truth:
                assert truth[: len(whole_again)] == whole_again, at
            if not found.is_vote_doubtful:
                assert (follower.term, follower.vote) == (found.current_term, found.voted_for), at
            assert count > 1 or not found.is_vote_doubtful


def start_again(follower: Follower, note: Note, found: list[Entry]) -> None:
    """A replica starts with what was found and gets the log it had back from a leader: what contradicts it is truncated,
    what is lost is repaired once the entry behind it fits, and what is missing at the end is appended."""
    truth = follower.log
    state = HardState(1, follower.term, follower.vote, is_tail_doubtful=True)
    batch: list[Frame] = [note, state]
    hole = -1  # where the hole begins that was not closed yet
    at = 0
    while at < min(len(found), len(truth)) and (found[at].kind == LOST or found[at] == truth[at]):
        if found[at].kind == LOST:
            hole = at if hole < 0 else hole
        elif hole >= 0:
            batch += [Repair(1, each) for each in truth[hole:at]]
            hole = -1
        at += 1
    if at == len(truth) and hole < 0:
        follower.log = [*truth, *found[at:]]  # A leader does not contradict what is behind its own log.
    else:
        at = hole if hole >= 0 else at
        if at < len(found):
            batch.append(Truncate(1, at + 1))
        batch += [GroupEntry(1, each) for each in truth[at:]]
    follower.batches += [batch, [state, HardState(1, follower.term, follower.vote)]]
    follower.batches.append([HardState(1, follower.term, follower.vote)])


def read_without(batches: list[list[Frame]], *lost: int) -> tuple[Recovered, list[Damage]]:
    """What is recovered when these batches are damaged; neighbours are one damage."""
    items: list[Frame | Damage] = []
    damages: list[Damage] = []
    for number, batch in enumerate(batches):
        if number not in lost:
            items += batch
        elif number - 1 in lost:
            damages[-1].next_valid = number + 1
        else:
            damages.append(Damage(1, number, number, number + 1, ""))
            items.append(damages[-1])
    return read(items).recovered(0, 0, VOTERS, is_snapshot_lost=False), damages


@pytest.mark.parametrize("seed", range(60))
def test_a_second_damage_in_a_later_life_costs_nothing_that_is_not_known(seed: int) -> None:
    prng = Prng(seed)
    follower = Follower(prng)
    for _ in range(15):
        follower.step()
    follower.close()
    first = prng.below(len(follower.batches))
    found, damages = read_without(follower.batches, first)
    if found.is_vote_doubtful:
        return
    start_again(follower, damages[0].note(), found.entries)
    assert follower.log == read_without(follower.batches, first)[0].entries
    for _ in range(10):
        follower.step()
    follower.close()
    truth = follower.log
    settled, _ = read_without(follower.batches, first)
    assert truth == settled.entries
    assert not settled.is_tail_doubtful
    for second in range(len(follower.batches)):
        recovered, _ = read_without(follower.batches, first, second)
        if second != first:
            assert recovered.is_tail_doubtful
        if recovered.entries and recovered.entries[-1] in truth:
            whole_again = healed(recovered.entries, truth)
            assert truth[: len(whole_again)] == whole_again, second
        if not recovered.is_vote_doubtful:
            assert (follower.term, follower.vote) == (recovered.current_term, recovered.voted_for), second


def test_no_order_of_frames_breaks_the_reading() -> None:
    prng = Prng(17)
    for _ in range(2000):
        floor = prng.below(6)
        log = GroupLog(1, floor)
        for _ in range(prng.below(25)):
            index, term = 1 + prng.below(12), 1 + prng.below(4)
            frame: list[Frame | Damage] = [
                entry(index, term),
                entry(index + 1, term),
                Truncate(1, index),
                Repair(1, Entry(index, term, COMMAND, b"r")),
                HardState(1, term, 1, is_tail_doubtful=prng.chance(1, 2)),
                SnapshotMark(1, index, term, bytes(32), encode_membership(VOTERS)),
                Damage(1, 0, 1, 1 + prng.below(4), ""),
                Note(1, 0, 1, 1 + prng.below(4)),
            ]
            chosen = frame[prng.below(len(frame))]
            if isinstance(chosen, Damage):
                log.on_damage(chosen)
            else:
                log.on_frame(chosen)
        found = log.recovered(floor, prng.below(4), VOTERS, is_snapshot_lost=prng.chance(1, 4))
        first = found.snapshot_index + 1
        assert list(range(first, first + len(found.entries))) == [each.index for each in found.entries]
        assert not found.entries or found.entries[-1].kind != LOST
        assert found.current_term >= max([found.snapshot_term, *shape(found)])
