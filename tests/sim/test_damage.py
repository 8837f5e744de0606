"""Goal: damage does what it says, to the medium and the cache alike, and stays within the budget. Method: one disk with
a few synced batches, and each kind of harm."""

import pytest

from quantum.core.prng import Prng
from quantum.core.wal.requests import AppendLog, CreateFile, WriteFile
from quantum.sim.damage import CUT_FILE, LOSE_FILE, ROLL_BACK, ROT_BIT, ROT_SECTOR, WIPE, Budget, Harm, do_harm
from quantum.sim.disk import SECTOR, DiskOptions, SimDisk
from tests.sim.test_disk import run

CONTENT = bytes(range(1, 201)) * 8


def written() -> SimDisk:
    """A log file with three batches, and the identity."""
    disk = SimDisk(Prng(1), DiskOptions())
    run(disk, WriteFile(1, "node.json", b"{}"))
    run(disk, CreateFile(2, "log", 16 * SECTOR))
    for number in range(3):
        run(disk, AppendLog(3 + number, "log", number * 4 * SECTOR, CONTENT))
    return disk


def changed_bits(before: dict[str, bytes], after: dict[str, bytes]) -> int:
    """How many bits differ in files of equal size."""
    assert {name: len(data) for name, data in before.items()} == {name: len(data) for name, data in after.items()}
    return sum(
        (int.from_bytes(before[name], "big") ^ int.from_bytes(after[name], "big")).bit_count() for name in before
    )


@pytest.mark.parametrize("choice", range(0, 4000, 97))
def test_rot_turns_one_bit_and_never_of_the_identity(choice: int) -> None:
    disk = written()
    before = disk.durable_image()
    assert do_harm(disk, Harm(ROT_BIT, 700, choice))
    assert 1 == changed_bits(before, disk.durable_image())
    assert disk.durable_image() == disk.cached_image()
    assert b"{}" == disk.durable_image()["node.json"]
    assert disk.was_damaged


def test_rotten_sector_is_noise_and_nothing_beside_it() -> None:
    disk = written()
    before = disk.durable_image()["log"]
    do_harm(disk, Harm(ROT_SECTOR, 0, 8))
    after = disk.durable_image()["log"]
    different = [at // SECTOR for at in range(len(before)) if before[at] != after[at]]
    assert 1 == len(dict.fromkeys(different))
    assert SECTOR // 2 < len(different)


def test_file_is_cut_and_lost_for_good() -> None:
    disk = written()
    do_harm(disk, Harm(CUT_FILE, 500, 8))
    assert len(disk.durable_image()["log"]) < 16 * SECTOR
    do_harm(disk, Harm(LOSE_FILE, 500, 8))
    disk.lose_power(0)
    assert ["node.json"] == [name for name, _ in disk.files()]


def test_wiped_disk_is_empty_and_takes_files_again() -> None:
    disk = written()
    assert "the disk is empty" == do_harm(disk, Harm(WIPE, 0, 0))
    assert {} == disk.durable_image() == disk.cached_image()
    assert "" == run(disk, WriteFile(9, "node.json", b"new")).error


def test_rolled_back_disk_is_what_it_was() -> None:
    disk = written()
    assert "" == do_harm(disk, Harm(ROLL_BACK, 0, 0))
    disk.keep_image()
    image = disk.durable_image()
    run(disk, WriteFile(9, "snapshot", b"later"))
    assert do_harm(disk, Harm(ROLL_BACK, 0, 0))
    assert image == disk.durable_image() == disk.cached_image()


def test_misdirected_append_goes_over_an_earlier_one_and_says_it_went_well() -> None:
    disk = written()
    disk.misdirects_next = True
    assert "" == run(disk, AppendLog(9, "log", 12 * SECTOR, b"x" * 100)).error
    image = disk.durable_image()["log"]
    assert bytes(100) == image[12 * SECTOR : 12 * SECTOR + 100]
    assert 1 == image.count(b"x" * 100)
    assert 1 == disk.misdirected_count


def test_read_only_disk_fails_every_write_until_it_is_remounted() -> None:
    disk = written()
    disk.is_read_only = True
    assert "errno 30" in run(disk, AppendLog(9, "log", 12 * SECTOR, b"x")).error
    assert "errno 30" in run(disk, WriteFile(10, "snapshot", b"x")).error
    disk.kill()
    disk.remount()
    assert "" == run(disk, AppendLog(11, "log", 12 * SECTOR, b"x")).error


def test_budget_is_a_minority_until_a_later_process_is_whole() -> None:
    budget = Budget(5, is_strict=True)
    assert budget.take(1, 3)
    assert budget.take(2, 1)
    assert budget.take(1, 3), "further damage to the same node costs nothing"
    assert not budget.take(3, 1)
    assert not budget.on_whole(1, 3), "the process that was damaged does not know of it"
    assert budget.on_whole(1, 4)
    assert [2] == budget.damaged
    assert budget.take(3, 1)
    assert not budget.take(1, 4)


def test_lone_node_has_no_budget_and_a_reckless_run_has_no_bound() -> None:
    assert not Budget(1, is_strict=True).take(1, 1)
    assert not Budget(2, is_strict=True).take(1, 1)
    reckless = Budget(3, is_strict=False)
    assert all(reckless.take(number, 1) for number in (1, 2, 3))
