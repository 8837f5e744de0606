"""A disk that forgets what was not synced: a page cache over a durable image, at 512-byte sectors.

Obeys `quantum.core.wal.requests` as the real driver does, step by step: a file is published by writing a temporary
name, syncing it, renaming, syncing the directory. A process kill keeps the cache and may stop between or inside the
steps. A power loss keeps of the unsynced sectors and directory entries only what its model says. Source: FAULTS F20 to
F29.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final, final

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

SECTOR: Final = 512
PAGE: Final = 4096
TEMPORARY_SUFFIX: Final = ".tmp"
LANES: Final = (0, 1)
IMAGES_MAX: Final = 8
ROT_FREE: Final = 3  # the last synced batches never rot: the very last cannot be told from a torn one

# What a power loss keeps.
ORDERED: Final = 0  # everything up to one point in time
ANY_SECTORS: Final = 1  # any subset of sectors, directory entries up to one point in time
INDEPENDENT: Final = 2  # any subset of sectors and of directory entries
POWER_MODELS: Final = ("ordered", "any-sectors", "independent")

# What a failed sync leaves in the cache. Both mark the pages clean, so that a second sync succeeds falsely.
KEEPS_NEW: Final = 0  # ext4 and XFS
REVERTS: Final = 1  # Btrfs

_LINK: Final = 0
_UNLINK: Final = 1


@final
@dataclass(slots=True)
class DiskOptions:
    """Drawn once per seed. Times in microseconds."""

    step_us_max: int = 200  # a write, read, rename
    sync_us_min: int = 200
    sync_us_max: int = 4_000
    stall_share: int = 0  # of 10,000 syncs, how many stall
    stall_us_max: int = 500_000
    sync_error_share: int = 0  # of 10,000 log syncs, how many fail
    space_error_share: int = 0  # of 100 files to be created, how many find no space
    read_error_share: int = 0  # of 1,000 reads, how many fail


@final
class _Inode:
    """A file's content: `data` is the page cache, `durable` what is on the medium."""

    __slots__ = ("data", "dirty", "durable", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.data = bytearray()
        self.durable = bytearray()
        self.dirty: dict[int, int] = {}  # sector → the write that touched it last

    def write(self, offset: int, data: bytes, clock: int) -> int:
        """Write into the cache; returns the next write's number."""
        end = offset + len(data)
        if end > len(self.data):
            self.data.extend(bytes(end - len(self.data)))
        self.data[offset:end] = data
        for sector in range(offset // SECTOR, (end + SECTOR - 1) // SECTOR):
            clock += 1
            self.dirty.pop(sector, None)
            self.dirty[sector] = clock
        return clock

    def sync(self) -> None:
        if len(self.durable) < len(self.data):
            self.durable.extend(bytes(len(self.data) - len(self.durable)))
        for sector in self.dirty:
            at = sector * SECTOR
            self.durable[at : at + SECTOR] = self.data[at : at + SECTOR]
        self.dirty = {}

    def keep(self, sectors: list[int]) -> None:
        """Of the unsynced sectors only these reached the medium."""
        for sector in sectors:
            at = sector * SECTOR
            end = min(at + SECTOR, len(self.data))
            if end > len(self.durable):
                self.durable.extend(bytes(end - len(self.durable)))
            self.durable[at:end] = self.data[at:end]

    def revert(self) -> None:
        self.data = bytearray(self.durable)
        self.dirty = {}


@final
@dataclass(slots=True, eq=False)
class _Job:
    request: DiskRequest
    step: int = 0


@final
@dataclass(slots=True)
class Appended:
    """A batch whose sync returned without error."""

    name: str
    offset: int
    size: int


@final
class SimDisk:
    """The data directory of one node. The world asks `start` after submitting and calls `step` when a lane is due."""

    __slots__ = (
        "_active",
        "_clock",
        "_durable_names",
        "_failure",
        "_images",
        "_inode_count",
        "_journal",
        "_names",
        "_options",
        "_prng",
        "_queues",
        "appended",
        "error_count",
        "extra_sync_us",
        "is_read_only",
        "misdirects_next",
        "fails_next_sync",
        "is_full",
        "lost_sector_count",
        "misdirected_count",
        "sync_count",
        "was_damaged",
    )

    def __init__(self, prng: Prng, options: DiskOptions) -> None:
        self._prng = prng
        self._options = options
        self._names: dict[str, _Inode] = {}
        self._durable_names: dict[str, _Inode] = {}
        self._journal: list[tuple[int, int, str, _Inode]] = []  # (clock, _LINK or _UNLINK, name, inode), not durable
        self._clock = 0
        self._inode_count = 0
        self._queues: list[deque[DiskRequest]] = [deque() for _ in LANES]
        self._active: list[_Job | None] = [None for _ in LANES]
        self._failure = ""  # of the log, as this process met it: no later append succeeds
        self.appended: list[Appended] = []
        self.extra_sync_us = 0
        self.fails_next_sync = False
        self.is_full = False
        self.is_read_only = False
        self.misdirects_next = False
        self._images: list[dict[str, bytes]] = []  # of the medium, at some earlier times
        self.sync_count = 0
        self.error_count = 0
        self.lost_sector_count = 0
        self.misdirected_count = 0
        self.was_damaged = False  # once, by anything but its own faults at work

    # -- driving --------------------------------------------------------------------------------------------------

    def submit(self, request: DiskRequest) -> None:
        """Take a request on; it waits for those before it in its lane."""
        self._queues[request.lane].append(request)

    def start(self) -> list[tuple[int, int]]:
        """Lanes that were idle and now have work, each with the microseconds until its first `step`."""
        started: list[tuple[int, int]] = []
        for lane in LANES:
            if self._active[lane] is None and self._queues[lane]:
                job = _Job(self._queues[lane].popleft())
                self._active[lane] = job
                started.append((lane, self._delay_us(job)))
        return started

    def step(self, lane: int) -> tuple[int, DiskDone | None]:
        """Carry out the due step. Returns the microseconds until the lane's next step, or the request's end."""
        job = self._active[lane]
        assert job is not None
        done = self._execute(job)
        if done is not None:
            self._active[lane] = None
            return 0, done
        job.step += 1
        return self._delay_us(job), None

    @property
    def is_busy(self) -> bool:
        """A request is under way: a crash now is worth more than one in peace."""
        return any(job is not None for job in self._active)

    def active_steps(self) -> list[tuple[str, int]]:
        """(request, step) of what is under way in each lane."""
        return [(type(job.request).__name__, job.step) for job in self._active if job is not None]

    @property
    def unsynced_count(self) -> int:
        """How many sectors a power loss could take now."""
        return sum(len(inode.dirty) for inode in self._names.values())

    # -- faults ---------------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """The process ends; the cache stays. What was being written may be there in part."""
        self._stop()
        self._remove_leftovers()

    def lose_power(self, model: int) -> None:
        """The machine stops; of what was not synced `model` says what is left."""
        self._stop()
        inodes = self._all_inodes()
        if model == ORDERED:
            points = sorted(
                [clock for inode in inodes for clock in inode.dirty.values()] + [op[0] for op in self._journal]
            )
            limit = points[self._prng.below(len(points))] if points and self._prng.chance(3, 4) else 0
            for inode in inodes:
                self._keep(inode, [sector for sector, clock in inode.dirty.items() if clock < limit])
            self._keep_journal([op for op in self._journal if op[0] < limit])
        else:
            group = PAGE // SECTOR if self._prng.chance(1, 4) else 1  # pages or single sectors
            share = self._prng.below(5)
            for inode in inodes:
                drawn: dict[int, bool] = {}
                kept: list[int] = []
                for sector in inode.dirty:
                    unit = sector // group
                    if unit not in drawn:
                        drawn[unit] = self._prng.chance(share, 4)
                    if drawn[unit]:
                        kept.append(sector)
                self._keep(inode, kept)
            if model == ANY_SECTORS:
                self._keep_journal(self._journal[: self._prng.below(len(self._journal) + 1)])
            else:
                self._keep_journal([op for op in self._journal if self._prng.chance(1, 2)])
        for inode in self._all_inodes():
            inode.revert()
        self._journal = []
        self._names = dict(self._durable_names)
        self._remove_leftovers()

    def rot_spot(self, part: int, choice: int) -> tuple[str, int, int] | None:
        """(name, offset, bit) in a synced batch that is not among the last ones; None where there is none."""
        known = self.written_places()[:-ROT_FREE]
        if not known:
            return None
        item = known[len(known) * part // 1000]
        return item.name, item.offset + (choice >> 3) % item.size, choice & 7

    def flip_bit(self, name: str, offset: int, bit: int) -> None:
        """Rot one bit, in the medium and in the cache. Source: FAULTS F27."""
        self.was_damaged = True
        inode = self._names[name]
        inode.data[offset] ^= 1 << bit
        inode.durable[offset] ^= 1 << bit

    def garble(self, name: str, offset: int, seed: int) -> None:
        """A sector is noise."""
        self.was_damaged = True
        inode = self._names[name]
        size = max(0, min(SECTOR, len(inode.data) - offset))
        noise = Prng(seed).bytes(size)
        inode.data[offset : offset + size] = noise
        inode.durable[offset : offset + size] = noise

    def cut_file(self, name: str, size: int) -> None:
        """A file ends early. Source: FAULTS F35."""
        self.was_damaged = True
        inode = self._names[name]
        del inode.data[size:]
        del inode.durable[size:]

    def lose_file(self, name: str) -> None:
        """A file is gone for good. Source: FAULTS F34."""
        self.was_damaged = True
        inode = self._names.pop(name)
        self._journal = [op for op in self._journal if op[3] is not inode]
        self._durable_names = {key: value for key, value in self._durable_names.items() if value is not inode}

    def wipe(self) -> None:
        """Nothing is left. Source: FAULTS F32."""
        self._names = {}
        self._durable_names = {}
        self._journal = []
        self.appended = []

    def roll_back(self, part: int) -> bool:
        """The medium as it was when some of its older images was kept. Source: FAULTS F33."""
        if not self._images:
            return False
        image = self._images[len(self._images) * part // 1000]
        self.wipe()
        for name, data in image.items():
            inode = self._create(name)
            inode.data = bytearray(data)
            inode.durable = bytearray(data)
        self._durable_names = dict(self._names)
        self._journal = []
        return True

    def keep_image(self) -> None:
        """Remember the medium as it is now."""
        self._images.append(self.durable_image())
        del self._images[:-IMAGES_MAX]

    def files(self) -> list[tuple[str, int]]:
        """(name, size) of what a new process would find."""
        return [(name, len(inode.data)) for name, inode in sorted(self._names.items())]

    def written_places(self) -> list[Appended]:
        """Where synced batches lie, in the order of their last writing."""
        places: dict[tuple[str, int], Appended] = {}
        for item in self.appended:
            places.pop((item.name, item.offset), None)  # The last batch is written once more at each start.
            places[item.name, item.offset] = item
        return [
            item
            for item in places.values()
            if item.name in self._names and item.offset + item.size <= len(self._names[item.name].data)
        ]

    def heal_bit(self, name: str, offset: int, bit: int) -> None:
        """Inverse of `flip_bit`, where the file still stands."""
        if name in self._names:
            self.flip_bit(name, offset, bit)

    def disarm(self) -> None:
        """No errors and no stalls from here on: the quiet period."""
        self._options.stall_share = 0
        self._options.sync_error_share = 0
        self._options.space_error_share = 0
        self._options.read_error_share = 0
        self.fails_next_sync = False
        self.misdirects_next = False

    def remount(self) -> None:
        """Files can be written again."""
        self.is_read_only = False

    def speed_up(self) -> None:
        """Syncs take what they usually take."""
        self.extra_sync_us = 0

    def free_space(self) -> None:
        """Files can be created again."""
        self.is_full = False

    def durable_image(self) -> dict[str, bytes]:
        """What a power loss in this instant would surely leave: the floor under every acknowledgement."""
        return {name: bytes(inode.durable) for name, inode in sorted(self._durable_names.items())}

    def cached_image(self) -> dict[str, bytes]:
        """What a process that starts now would read."""
        return {name: bytes(inode.data) for name, inode in sorted(self._names.items())}

    # -- private --------------------------------------------------------------------------------------------------

    def _delay_us(self, job: _Job) -> int:
        options = self._options
        request = job.request
        is_sync = (
            job.step == 1 and isinstance(request, AppendLog | CreateFile | WriteFile | DeleteFiles)
        ) or job.step == 3
        if not is_sync:
            return 1 + self._prng.below(options.step_us_max)
        if options.stall_share and self._prng.chance(options.stall_share, 10_000):
            return 1 + self._prng.below(options.stall_us_max)
        return self._prng.between(options.sync_us_min, options.sync_us_max) + self.extra_sync_us

    def _execute(self, job: _Job) -> DiskDone | None:
        request = job.request
        if isinstance(request, AppendLog):
            return self._append(job, request)
        if isinstance(request, CreateFile):
            return self._publish(job, request, bytes(request.size) if job.step == 0 else b"")
        if isinstance(request, WriteFile):
            return self._publish(job, request, request.data)
        if isinstance(request, DeleteFiles):
            return self._delete(job, request)
        if isinstance(request, ListFiles):
            self._keep_journal(self._journal)
            self._journal = []
            listed = [(name, len(i.data)) for name, i in sorted(self._names.items())]
            return DiskDone(request.number, files=[item for item in listed if not item[0].endswith(TEMPORARY_SUFFIX)])
        return self._read(request)

    def _read(self, request: ReadFile) -> DiskDone:
        inode = self._names.get(request.name)
        if inode is None:
            return DiskDone(request.number, error=f"read {request.name}: No such file or directory (errno 2)")
        share = self._options.read_error_share
        if share and self._prng.chance(share, 1_000):
            self.error_count += 1
            return DiskDone(request.number, error=f"read {request.name}: Input/output error (errno 5)")
        return DiskDone(request.number, data=bytes(inode.data[request.offset : request.offset + request.size]))

    def _append(self, job: _Job, request: AppendLog) -> DiskDone | None:
        if self._failure:
            return DiskDone(request.number, error=self._failure)
        inode = self._names.get(request.name)
        if inode is None or request.offset < 0 or request.offset + len(request.data) > len(inode.data):
            self._failure = f"append to {request.name}: no such file, or too small for the bytes (errno 27)"
            return DiskDone(request.number, error=self._failure)
        if self.is_read_only:
            self.error_count += 1
            self._failure = f"append to {request.name}: Read-only file system (errno 30)"
            return DiskDone(request.number, error=self._failure)
        if job.step == 0:
            self._clock = inode.write(self._target(request), request.data, self._clock)
            return None
        share = self._options.sync_error_share
        if self.fails_next_sync or (share and self._prng.chance(share, 10_000)):
            self.fails_next_sync = False
            self._fail_sync(inode)
            self._failure = f"append to {request.name}: Input/output error (errno 5)"
            return DiskDone(request.number, error=self._failure)
        inode.sync()
        self.sync_count += 1
        self.appended.append(Appended(request.name, request.offset, len(request.data)))
        return DiskDone(request.number)

    def _target(self, request: AppendLog) -> int:
        """Where the bytes go: where they were told to, nearly always. Source: FAULTS F28."""
        if not self.misdirects_next:
            return request.offset
        others = [item.offset for item in self.written_places() if item.name == request.name]
        others = [offset for offset in others if offset + len(request.data) < request.offset]
        if not others:
            return request.offset
        self.misdirects_next = False
        self.misdirected_count += 1
        self.was_damaged = True
        return others[self._prng.below(len(others))]

    def _fail_sync(self, inode: _Inode) -> None:
        self.error_count += 1
        self._keep(inode, [sector for sector in inode.dirty if self._prng.chance(1, 2)])
        inode.dirty = {}
        if self._prng.below(2) == REVERTS:
            inode.revert()

    def _publish(self, job: _Job, request: CreateFile | WriteFile, data: bytes) -> DiskDone | None:
        """Temporary name and write, sync, rename, sync of the directory."""
        temporary = request.name + TEMPORARY_SUFFIX
        if job.step == 0:
            if isinstance(request, CreateFile) and request.name in self._names:
                return DiskDone(request.number, error=f"create {request.name}: the file exists (errno 17)")
            if self.is_read_only:
                self.error_count += 1
                return DiskDone(request.number, error=f"write {request.name}: Read-only file system (errno 30)")
            share = self._options.space_error_share
            if self.is_full or (share and self._prng.chance(share, 100)):
                self.error_count += 1
                return DiskDone(request.number, error=f"write {request.name}: No space left on device (errno 28)")
            inode = self._create(temporary)
            self._clock = inode.write(0, data, self._clock)
        elif job.step == 1:
            self._names[temporary].sync()
        elif job.step == 2:
            inode = self._names.pop(temporary)
            self._clock += 1
            # One operation in the journal: a rename is atomic, the old name and the new never both stand for the file.
            self._journal.append((self._clock, _UNLINK, temporary, inode))
            self._journal.append((self._clock, _LINK, request.name, inode))
            self._names[request.name] = inode
        else:
            self._sync_directory(request.name)
            return DiskDone(request.number)
        return None

    def _delete(self, job: _Job, request: DeleteFiles) -> DiskDone | None:
        if self.is_read_only:
            self.error_count += 1
            return DiskDone(request.number, error="delete: Read-only file system (errno 30)")
        if job.step == 0:
            for name in request.names:
                if name in self._names:
                    self._unlink(name)
            return None
        for name in request.names:
            self._sync_directory(name)
        return DiskDone(request.number)

    def _create(self, name: str) -> _Inode:
        self._inode_count += 1
        inode = _Inode(self._inode_count)
        self._clock += 1
        self._journal.append((self._clock, _LINK, name, inode))
        self._names[name] = inode
        return inode

    def _unlink(self, name: str) -> None:
        inode = self._names.pop(name)
        self._clock += 1
        self._journal.append((self._clock, _UNLINK, name, inode))

    def _sync_directory(self, name: str) -> None:
        directory = name.rpartition("/")[0]
        self._keep_journal([op for op in self._journal if op[2].rpartition("/")[0] == directory])
        self._journal = [op for op in self._journal if op[2].rpartition("/")[0] != directory]

    def _keep_journal(self, ops: list[tuple[int, int, str, _Inode]]) -> None:
        for _, kind, name, inode in ops:
            if kind == _LINK:
                self._durable_names[name] = inode
            elif self._durable_names.get(name) is inode:
                del self._durable_names[name]

    def _keep(self, inode: _Inode, sectors: list[int]) -> None:
        self.lost_sector_count += len(inode.dirty) - len(sectors)
        inode.keep(sectors)

    def _stop(self) -> None:
        for lane in LANES:
            job = self._active[lane]
            if job is not None:
                self._stop_inside(job)
            self._active[lane] = None
            self._queues[lane].clear()
        self._failure = ""
        self.misdirects_next = False

    def _remove_leftovers(self) -> None:
        """As the driver does before it starts the core."""
        for name in [name for name in self._names if name.endswith(TEMPORARY_SUFFIX)]:
            self._unlink(name)

    def _stop_inside(self, job: _Job) -> None:
        """A kill inside a step: a write may stop at any page, a list of deletions at any name, a rename not at all."""
        request = job.request
        if job.step == 0 and isinstance(request, AppendLog) and not self._failure:
            inode = self._names.get(request.name)
            # A kernel copies page by page and looks for the signal in between.
            end = request.offset + len(request.data)
            ends = [*range((request.offset // PAGE + 1) * PAGE, end, PAGE), end, request.offset]
            size = ends[self._prng.below(len(ends))] - request.offset
            if inode is not None and size and request.offset + len(request.data) <= len(inode.data):
                self._clock = inode.write(request.offset, request.data[:size], self._clock)
        elif job.step == 0 and isinstance(request, DeleteFiles):
            for name in request.names[: self._prng.below(len(request.names) + 1)]:
                if name in self._names:
                    self._unlink(name)
        elif job.step == 2 and isinstance(request, CreateFile | WriteFile) and self._prng.chance(1, 2):
            self._execute(job)

    def _all_inodes(self) -> list[_Inode]:
        """Every file that has a name in the cache or on the medium, in their order of creation."""
        found: dict[int, _Inode] = {}
        for inode in self._names.values():
            found[inode.number] = inode
        for inode in self._durable_names.values():
            found[inode.number] = inode
        for _, _, _, inode in self._journal:
            found[inode.number] = inode
        return [found[number] for number in sorted(found)]
