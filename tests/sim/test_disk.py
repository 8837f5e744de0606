"""Goal: the simulated disk loses exactly what a real one may. Method: scripts of requests, cut at every step."""

from quantum.core.prng import Prng
from quantum.core.wal.requests import (
    AppendLog,
    CreateFile,
    DeleteFiles,
    DiskDone,
    DiskRequest,
    ListFiles,
    ReadFile,
    WriteFile,
)
from quantum.sim.disk import ANY_SECTORS, INDEPENDENT, ORDERED, SECTOR, DiskOptions, SimDisk


def disk_of(seed: int = 1, options: DiskOptions | None = None) -> SimDisk:
    return SimDisk(Prng(seed), DiskOptions() if options is None else options)


def run(disk: SimDisk, request: DiskRequest) -> DiskDone:
    """Carry one request out to its end."""
    disk.submit(request)
    disk.start()
    while True:
        _, done = disk.step(request.lane)
        if done is not None:
            return done


def run_steps(disk: SimDisk, request: DiskRequest, count: int) -> None:
    disk.submit(request)
    disk.start()
    for _ in range(count):
        assert disk.step(request.lane)[1] is None


def test_done_append_survives_every_power_loss() -> None:
    for model in (ORDERED, ANY_SECTORS, INDEPENDENT):
        for seed in range(20):
            disk = disk_of(seed)
            run(disk, CreateFile(1, "log/1", 4 * SECTOR))
            run(disk, AppendLog(2, "log/1", 100, b"x" * 1000))
            disk.lose_power(model)
            assert b"x" * 1000 == run(disk, ReadFile(3, "log/1", 100, 1000)).data


def test_unsynced_append_survives_a_kill_and_may_be_torn_by_power_loss() -> None:
    kept: dict[bytes, int] = {}
    for seed in range(60):
        disk = disk_of(seed)
        run(disk, CreateFile(1, "a", 4 * SECTOR))
        run_steps(disk, AppendLog(2, "a", 0, b"x" * (3 * SECTOR)), 1)
        assert 3 == disk.unsynced_count
        if seed == 0:
            disk.kill()
            assert b"x" * (3 * SECTOR) == run(disk, ReadFile(3, "a", 0, 3 * SECTOR)).data
        disk.lose_power(ANY_SECTORS)
        data = run(disk, ReadFile(4, "a", 0, 3 * SECTOR)).data
        pattern = bytes(data[i * SECTOR] for i in range(3))
        assert data == b"".join(bytes([b]) * SECTOR for b in pattern)
        kept[pattern] = 1
    assert {b"\0x\0", b"xxx", b"\0\0\0"} <= kept.keys()


def test_ordered_power_loss_keeps_a_prefix() -> None:
    for seed in range(40):
        disk = disk_of(seed)
        run(disk, CreateFile(1, "a", 8 * SECTOR))
        run_steps(disk, AppendLog(2, "a", 0, b"x" * (8 * SECTOR)), 1)
        disk.lose_power(ORDERED)
        data = run(disk, ReadFile(3, "a", 0, 8 * SECTOR)).data
        assert data == data.rstrip(b"\0").ljust(8 * SECTOR, b"\0")
        assert 0 == len(data.rstrip(b"\0")) % SECTOR


def test_file_is_published_whole_or_not_at_all_at_every_step() -> None:
    for model in (-1, ORDERED, ANY_SECTORS, INDEPENDENT):
        for steps in range(4):
            for seed in range(12):
                disk = disk_of(seed)
                run(disk, WriteFile(1, "meta", b"old" * 300))
                run_steps(disk, WriteFile(2, "meta", b"new" * 400), steps)
                if model < 0:
                    disk.kill()
                else:
                    disk.lose_power(model)
                assert disk.cached_image()["meta"] in (b"old" * 300, b"new" * 400)
                assert ["meta"] == [name for name, _ in run(disk, ListFiles(3)).files or []]


def test_rename_without_directory_sync_may_be_lost_and_may_stay() -> None:
    seen: dict[bytes, int] = {}
    for seed in range(40):
        disk = disk_of(seed)
        run(disk, WriteFile(1, "meta", b"old"))
        run_steps(disk, WriteFile(2, "meta", b"new"), 3)
        assert b"new" == disk.cached_image()["meta"]
        assert b"old" == disk.durable_image()["meta"]
        disk.lose_power(INDEPENDENT)
        seen[disk.cached_image()["meta"]] = 1
    assert [b"new", b"old"] == sorted(seen)


def test_deletion_is_durable_only_when_done() -> None:
    disk = disk_of()
    run(disk, WriteFile(1, "a", b"1"))
    run_steps(disk, DeleteFiles(2, ["a", "missing"]), 1)
    assert {} == disk.cached_image()
    assert {"a": b"1"} == disk.durable_image()
    assert "" == disk.step(1)[1].error  # type: ignore[union-attr]
    assert {} == disk.durable_image()


def test_failed_sync_is_final_for_the_process_and_its_bytes_are_not_durable() -> None:
    disk = disk_of(3, DiskOptions(sync_error_share=10_000))
    run(disk, CreateFile(1, "a", 4 * SECTOR))
    assert "Input/output error" in run(disk, AppendLog(2, "a", 0, b"x" * SECTOR * 2)).error
    disk.disarm()
    assert "Input/output error" in run(disk, AppendLog(3, "a", 0, b"y")).error
    assert 0 == disk.unsynced_count
    disk.kill()
    assert "" == run(disk, AppendLog(4, "a", 0, b"y")).error
    assert b"y" == disk.durable_image()["a"][:1]


def test_append_beyond_the_file_is_refused() -> None:
    disk = disk_of()
    run(disk, CreateFile(1, "a", SECTOR))
    assert run(disk, AppendLog(2, "a", SECTOR - 1, b"xy")).error
    assert run(disk, AppendLog(3, "b", 0, b"x")).error


def test_lanes_are_independent_and_each_is_in_order() -> None:
    disk = disk_of()
    disk.submit(CreateFile(1, "a", SECTOR))
    disk.submit(CreateFile(2, "b", SECTOR))
    disk.submit(ListFiles(3))
    assert [0, 1] == [lane for lane, _ in disk.start()]
    assert [] == disk.start()
    assert 3 == disk.step(0)[1].number  # type: ignore[union-attr]
    for _ in range(3):
        assert disk.step(1)[1] is None
    assert 1 == disk.step(1)[1].number  # type: ignore[union-attr]
    assert [1] == [lane for lane, _ in disk.start()]


def test_flipped_bit_is_read_back_and_heals() -> None:
    disk = disk_of()
    run(disk, WriteFile(1, "a", b"abc"))
    disk.flip_bit("a", 1, 0)
    disk.lose_power(ORDERED)
    assert b"acc" == run(disk, ReadFile(2, "a", 0, 3)).data
    disk.flip_bit("a", 1, 0)
    assert b"abc" == run(disk, ReadFile(3, "a", 0, 3)).data
