"""Goal: both disk backends keep one contract. Method: the same requests on real files through each of them, and the
failures that a test can cause: a size limit, names outside the directory, a helper that is killed."""

import asyncio
import os
import resource
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path

import pytest

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
from quantum.io.disk import BACKENDS, HELPER, HELPER_ENDED, HelperDisk, open_disk

TIMEOUT_S = 20.0


class Bench:
    """One open disk, and its completions in the order in which they came."""

    def __init__(self, backend: str, root: Path) -> None:
        root.mkdir()
        self.root = root
        self.disk = open_disk(backend, str(root), -1)
        self.done: list[DiskDone] = []
        self._came = asyncio.Event()

    def on_done(self, done: DiskDone) -> None:
        self.done.append(done)
        self._came.set()

    async def finish(self, *requests: DiskRequest) -> list[DiskDone]:
        """Submit all at once; their completions, in order of arrival."""
        first = len(self.done)
        self.disk.submit(list(requests))
        async with asyncio.timeout(TIMEOUT_S):
            while len(self.done) < first + len(requests):
                self._came.clear()
                await self._came.wait()
        return self.done[first:]


Script = Callable[[Callable[[Bench], Coroutine[None, None, None]]], None]


@pytest.fixture(params=BACKENDS)
def script(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Script]:
    """Runs a coroutine against a fresh disk of each backend."""

    def run(story: Callable[[Bench], Coroutine[None, None, None]], backend: str = str(request.param)) -> None:
        async def serve(bench: Bench) -> None:
            bench.disk.start(asyncio.get_running_loop(), bench.on_done)
            try:
                await story(bench)
            finally:
                bench.disk.close()

        with asyncio.Runner() as runner:
            bench = Bench(backend, tmp_path / "data")
            runner.run(serve(bench))

    yield run


def test_file_is_created_appended_and_read_back(script: Script) -> None:
    async def story(bench: Bench) -> None:
        await bench.finish(CreateFile(1, "log/a", 8192))
        await bench.finish(AppendLog(2, "log/a", 4096, b"hello"))
        (read,) = await bench.finish(ReadFile(3, "log/a", 4094, 9))
        assert b"\0\0hello\0\0" == read.data
        (tail,) = await bench.finish(ReadFile(4, "log/a", 8190, 100))
        assert b"\0\0" == tail.data
        (listed,) = await bench.finish(ListFiles(5))
        assert [("log/a", 8192)] == listed.files
        assert [""] * 5 == [done.error for done in bench.done]

    script(story)


def test_appends_of_one_lane_complete_in_order_over_a_change_of_file(script: Script) -> None:
    async def story(bench: Bench) -> None:
        await bench.finish(CreateFile(1, "a", 4096), CreateFile(2, "b", 4096))
        appends = [AppendLog(10 + at, "ab"[at % 2], at, b"%d" % at) for at in range(10)]
        done = await bench.finish(*appends, ReadFile(20, "a", 0, 10))
        assert list(range(10, 21)) == [one.number for one in done]
        assert b"0\x002\x004\x006\x008\x00" == done[-1].data

    script(story)


def test_file_deleted_and_made_again_is_the_one_appended_to(script: Script) -> None:
    async def story(bench: Bench) -> None:
        await bench.finish(CreateFile(1, "a", 100))
        await bench.finish(AppendLog(2, "a", 0, b"old"))
        await bench.finish(DeleteFiles(3, ["a", "missing"]))
        await bench.finish(CreateFile(4, "a", 100))
        await bench.finish(AppendLog(5, "a", 0, b"new"))
        assert [""] * 5 == [done.error for done in bench.done]
        assert b"new" == (bench.root / "a").read_bytes()[:3]

    script(story)


def test_whole_file_is_replaced_and_an_emptied_directory_goes(script: Script) -> None:
    async def story(bench: Bench) -> None:
        await bench.finish(WriteFile(1, "deep/er/x", b"one"))
        await bench.finish(WriteFile(2, "deep/er/x", b"two" * 300_000))
        (read,) = await bench.finish(ReadFile(3, "deep/er/x", 0, 1 << 20))
        assert b"two" * 300_000 == read.data
        assert ["x"] == os.listdir(bench.root / "deep" / "er")
        await bench.finish(DeleteFiles(4, ["deep/er/x"]))
        assert [] == os.listdir(bench.root)

    script(story)


@pytest.mark.parametrize(
    "name", ["../out", "/etc/out", "a/../../out", "", "a//b", "a\0b", "lock", "certs/ca.key", "x.tmp"]
)
def test_name_outside_the_core_s_files_is_refused(script: Script, name: str) -> None:
    async def story(bench: Bench) -> None:
        done = await bench.finish(
            WriteFile(1, name, b"x"), CreateFile(2, name, 1), DeleteFiles(3, [name]), ReadFile(4, name, 0, 1)
        )
        assert all("file name" in one.error for one in done)
        assert [] == os.listdir(bench.root)

    script(story)


def test_errors_of_the_system_are_told_and_others_are_served(script: Script) -> None:
    async def story(bench: Bench) -> None:
        await bench.finish(CreateFile(1, "a", 10))
        (exists,) = await bench.finish(CreateFile(2, "a", 10))
        (missing,) = await bench.finish(ReadFile(3, "b", 0, 1))
        (below_a_file,) = await bench.finish(WriteFile(4, "a/b", b"x"))
        assert "errno 17" in exists.error
        assert "errno 2" in missing.error
        assert below_a_file.error
        (good,) = await bench.finish(WriteFile(5, "b", b"x"))
        assert "" == good.error

    script(story)


def test_failed_append_is_final(script: Script) -> None:
    async def story(bench: Bench) -> None:
        await bench.finish(CreateFile(1, "a", 8192))
        old = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, old[1]))
        try:
            (failed,) = await bench.finish(AppendLog(2, "a", 4000, b"x" * 200))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
        assert "errno 27" in failed.error  # the short write of 96 bytes was continued, and then refused
        (later,) = await bench.finish(AppendLog(3, "a", 0, b"x"))
        assert failed.error == later.error

    script(story)


def test_append_past_the_end_is_refused(script: Script) -> None:
    async def story(bench: Bench) -> None:
        await bench.finish(CreateFile(1, "a", 10))
        (done,) = await bench.finish(AppendLog(2, "a", 8, b"xyz"))
        assert "bytes 8 to 11 of 10" in done.error

    script(story)


def test_unfinished_files_of_an_earlier_process_are_gone_and_never_listed(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "a.tmp").write_bytes(b"half")
    (tmp_path / "lock").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"whole")
    disk = open_disk("inline", str(tmp_path), -1)
    done: list[DiskDone] = []
    with asyncio.Runner() as runner:
        disk.start(runner.get_loop(), done.append)
        disk.submit([ListFiles(1)])
    assert [("b", 5)] == done[0].files
    assert not (tmp_path / "log" / "a.tmp").exists()


def test_helper_that_is_killed_fails_all_that_is_out_and_all_to_come(tmp_path: Path) -> None:
    async def story() -> None:
        assert isinstance(bench.disk, HelperDisk)
        bench.disk.start(asyncio.get_running_loop(), bench.on_done)
        await bench.finish(CreateFile(1, "a", 100))
        bench.disk.kill_helper()
        done = await bench.finish(AppendLog(2, "a", 0, b"x"), WriteFile(3, "b", b"x"))
        assert {2: HELPER_ENDED, 3: HELPER_ENDED} == {one.number: one.error for one in done}
        later = await bench.finish(AppendLog(4, "a", 0, b"x"), ReadFile(5, "a", 0, 1))
        assert [HELPER_ENDED] * 2 == [one.error for one in later]
        bench.disk.close()

    bench = Bench(HELPER, tmp_path / "data")
    with asyncio.Runner() as runner:
        runner.run(story())


def test_helper_ends_with_its_disk(tmp_path: Path) -> None:
    async def story() -> None:
        assert isinstance(bench.disk, HelperDisk)
        bench.disk.start(asyncio.get_running_loop(), bench.on_done)
        pid = bench.disk.helper_pid
        await bench.finish(CreateFile(1, "a", 100))
        bench.disk.close()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    bench = Bench(HELPER, tmp_path / "data")
    with asyncio.Runner() as runner:
        runner.run(story())


def test_log_is_synced_in_time_while_the_loop_is_busy(tmp_path: Path) -> None:
    """A worker thread starves for seconds here; the bound tells that apart, and is generous for slow disks."""

    async def story() -> None:
        loop = asyncio.get_running_loop()
        bench.disk.start(loop, bench.on_done)
        await bench.finish(CreateFile(1, "a", 1 << 20))
        is_over = False

        def burn() -> None:
            until = time.perf_counter() + 200e-6
            while time.perf_counter() < until:
                pass
            if not is_over:
                loop.call_soon(burn)

        burn()
        waits: list[float] = []
        for number in range(100):
            began = time.perf_counter()
            await bench.finish(AppendLog(10 + number, "a", number * 512, b"x" * 512))
            waits.append(time.perf_counter() - began)
        is_over = True
        bench.disk.close()
        assert sorted(waits)[98] < 1.0

    bench = Bench(HELPER, tmp_path / "data")
    with asyncio.Runner() as runner:
        runner.run(story())
