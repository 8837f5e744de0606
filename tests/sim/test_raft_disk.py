"""Goal: the toy disk of lite runs loses what a disk may lose and proves what a log can prove, no more. Method: batches
written, torn, rotted by hand, and what a start finds of them."""

import pytest

from quantum.core.raft.entry import COMMAND, LOST, Entry
from quantum.core.raft.membership import Membership
from quantum.core.raft.records import HardStateRecord, Record, RepairRecord, SnapshotRecord, TruncateRecord
from quantum.sim.raft_disk import RaftDisk
from quantum.sim.raft_machine import MachineState

MEMBERS = Membership((1, 2, 3))
VOTE = HardStateRecord(3, 2)


def entry(index: int, term: int = 3) -> Entry:
    return Entry(index, term, COMMAND, b"%d" % index)


def written(*batches: list[Record], node: int = 1) -> RaftDisk:
    """A disk with one batch after the other, all synced, and a settled hard state in front."""
    disk = RaftDisk(node, MEMBERS)
    sequence = 0
    first: list[Record] = [VOTE]
    for records in (first, *batches):
        sequence += len(records)
        disk.append(records, sequence)
        while disk.begin_batch():
            disk.end_batch()
    return disk


def at_of(disk: RaftDisk, record: Record) -> int:
    """The batch that holds it."""
    return next(at for at, batch in enumerate(disk.batches) if record in batch.records)


def kinds(disk: RaftDisk) -> list[tuple[int, int]]:
    """(index, term) of what a start finds; term 0 for a hole."""
    return [(each.index, each.term) for each in disk.recover().entries]


def test_entries_count_once_synced_and_a_hard_state_once_its_copy_is() -> None:
    disk = RaftDisk(1, MEMBERS)
    disk.append([entry(1)], 1)
    assert disk.begin_batch()
    disk.append([VOTE], 2)
    assert not disk.begin_batch(), "one at a time"
    assert 1 == disk.end_batch()
    assert disk.begin_batch()
    assert 1 == disk.end_batch(), "the vote stands in one batch only"
    assert 0 == disk.confirmed_term
    assert disk.begin_batch()
    assert 2 == disk.end_batch()
    assert (3, 2) == (disk.confirmed_term, disk.confirmed_vote)
    assert not disk.begin_batch()


@pytest.mark.parametrize(("is_written", "expected"), [(True, [(1, 3), (2, 3)]), (False, [(1, 3)])])
def test_a_kill_keeps_what_was_written(is_written: bool, expected: list[tuple[int, int]]) -> None:
    disk = written([entry(1)])
    disk.append([entry(2)], 3)
    disk.begin_batch()
    disk.append([entry(3)], 4)
    disk.kill(is_written)
    assert expected == kinds(disk)


def test_a_power_loss_takes_what_was_not_synced_or_not() -> None:
    for survives, expected in ((True, [(1, 3), (2, 3)]), (False, [(1, 3)])):
        disk = written([entry(1)])
        disk.append([entry(2)], 3)
        disk.begin_batch()
        disk.lose_power(survives, is_garbage=False)
        recovered = disk.recover()
        assert expected == [(each.index, each.term) for each in recovered.entries]
        assert not recovered.is_tail_doubtful


def test_garbage_at_the_end_cannot_be_told_from_damage() -> None:
    disk = written([entry(1)])
    disk.append([entry(2)], 3)
    disk.begin_batch()
    disk.lose_power(survives=False, is_garbage=True)
    recovered = disk.recover()
    assert [1] == [each.index for each in recovered.entries]
    assert recovered.is_tail_doubtful
    assert not recovered.is_vote_doubtful


def test_damage_in_the_middle_leaves_holes_and_takes_the_entry_in_front_of_what_follows() -> None:
    disk = written([entry(1)], [entry(2)], [entry(3), entry(4)], [entry(5)])
    disk.batches[-2].is_damaged = True
    recovered = disk.recover()
    assert [(1, 3), (2, 3), (3, 0), (4, 0), (5, 3)] == [(each.index, each.term) for each in recovered.entries]
    assert [LOST, LOST] == [each.kind for each in recovered.entries[2:4]]
    assert recovered.is_tail_doubtful


def test_damage_that_held_no_entry_may_have_held_a_truncation() -> None:
    disk = written([entry(1)], [entry(2)], [HardStateRecord(4, 0)], [entry(3, 4)])
    disk.batches[at_of(disk, entry(3, 4)) - 1].is_damaged = True
    assert [(1, 3), (2, 0), (3, 4)] == kinds(disk)


def test_two_lost_batches_in_a_row_lose_a_vote_until_a_later_one_is_read() -> None:
    disk = written([entry(1)], [entry(2)])
    disk.batches[-1].is_damaged = disk.batches[-2].is_damaged = True
    recovered = disk.recover()
    assert recovered.is_vote_doubtful
    disk = written([entry(1)], [entry(2)], [HardStateRecord(5, 0)])
    for batch in disk.batches[2:4]:
        batch.is_damaged = True
    recovered = disk.recover()
    assert (5, False) == (recovered.current_term, recovered.is_vote_doubtful)


def test_an_empty_disk_is_doubted_under_a_number_that_was_there_at_the_beginning_only() -> None:
    first = RaftDisk(1, MEMBERS).recover()
    later = RaftDisk(4, MEMBERS).recover()
    assert (True, True) == (first.is_tail_doubtful, first.is_vote_doubtful)
    assert (False, False) == (later.is_tail_doubtful, later.is_vote_doubtful)
    disk = written([entry(1)])
    disk.wipe()
    assert disk.recover().is_vote_doubtful
    assert disk.was_durable(1, 3), "the oracles remember"


def test_truncation_repair_and_snapshot_read_as_they_were_meant() -> None:
    disk = written([entry(1), entry(2), entry(3)], [TruncateRecord(2), entry(2, 4)], [entry(3, 4)])
    assert [(1, 3), (2, 4), (3, 4)] == kinds(disk)
    disk.batches[at_of(disk, entry(2, 4))].is_damaged = True
    assert [(1, 3), (2, 0), (3, 4)] == kinds(disk)
    disk.append([RepairRecord(entry(2, 4))], 1)
    disk.begin_batch()
    disk.end_batch()
    assert [(1, 3), (2, 4), (3, 4)] == kinds(disk)
    disk.keep_snapshot(MachineState(9, 5, 0, {}), MEMBERS)
    disk.append([SnapshotRecord(9, 5, MEMBERS), entry(10, 5)], 2)
    disk.begin_batch()
    disk.end_batch()
    assert [(10, 5)] == kinds(disk)


def test_a_log_that_ends_in_front_of_its_snapshot_goes_on_behind_it() -> None:
    disk = written([entry(1), entry(2)])
    disk.keep_snapshot(MachineState(5, 3, 0, {}), MEMBERS)
    recovered = disk.recover()
    assert ([], 5) == (recovered.entries, recovered.snapshot_index)
    disk.append([entry(6)], 1)
    disk.begin_batch()
    disk.end_batch()
    assert [(6, 3)] == kinds(disk)
