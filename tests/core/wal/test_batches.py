"""Goal: a batch says of itself whether it is whole, and a whole one never looks as if a crash had cut it. Method: bodies
of all sizes and of mostly zeros, at several offsets; each sector lost, each end cut, each bit turned."""

import pytest

from quantum.core.prng import Prng
from quantum.core.wal.batch import NO_DIGEST, SECTOR_BYTES, decode_batch, encode_batch
from quantum.core.wal.tail import is_unfinished

SALT = bytes(range(16))
OFFSETS = [64, 500, 511, 512, 513, 990]


def placed(offset: int, frames: list[bytes]) -> tuple[bytes, int]:
    """A segment with one batch, and where it ends."""
    data, _ = encode_batch(SALT, 1, offset, 1, NO_DIGEST, frames)
    return b"p" * offset + data + bytes(3 * SECTOR_BYTES), offset + len(data)


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("size", [1, 40, 411, 412, 413, 464, 1000, 3000])
@pytest.mark.parametrize("fill", [b"\0", b"x"])
def test_a_batch_comes_back_whatever_its_body_is(offset: int, size: int, fill: bytes) -> None:
    data, end = placed(offset, [fill * size, b"z"])
    batch = decode_batch(SALT, 1, data, offset)
    assert batch is not None
    assert (1, 2, NO_DIGEST, fill * size + b"z") == (batch.sequence, batch.frame_count, batch.previous, batch.body)
    assert end - offset == batch.size


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("body", [b"x" * 2000, bytes(2000), b"x" + bytes(1999), bytes(700) + b"\x80" + bytes(1500)])
def test_no_sector_of_a_batch_is_nearly_blank(offset: int, body: bytes) -> None:
    data, end = placed(offset, [body])
    for start in range(-(-offset // SECTOR_BYTES) * SECTOR_BYTES, end - SECTOR_BYTES, SECTOR_BYTES):
        assert data.count(0, start, start + SECTOR_BYTES) <= SECTOR_BYTES - 8


@pytest.mark.parametrize("offset", OFFSETS)
def test_a_batch_that_lacks_a_sector_is_unfinished(offset: int) -> None:
    data, end = placed(offset, [bytes(500), b"x" * 1200])
    first = offset // SECTOR_BYTES
    last = (end - 1) // SECTOR_BYTES
    for sector in range(first, last + 1):
        start = max(sector * SECTOR_BYTES, offset)
        stop = min((sector + 1) * SECTOR_BYTES, end)
        torn = data[:start] + bytes(stop - start) + data[stop:]
        assert decode_batch(SALT, 1, torn, offset) is None
        assert is_unfinished(SALT, 1, torn, offset), sector


@pytest.mark.parametrize("offset", OFFSETS)
def test_a_batch_cut_anywhere_is_unfinished(offset: int) -> None:
    data, end = placed(offset, [b"x" * 700])
    for kept in range(offset, end):
        torn = data[:kept] + bytes(len(data) - kept)
        assert decode_batch(SALT, 1, torn, offset) is None
        assert is_unfinished(SALT, 1, torn, offset), kept


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("body", [b"x" * 30, bytes(900), b"\x01" + bytes(600)])
def test_a_batch_with_any_bit_turned_is_neither_valid_nor_unfinished(offset: int, body: bytes) -> None:
    data, end = placed(offset, [body])
    for at in range(offset, end):
        for bit in range(8):
            rotten = data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]
            assert decode_batch(SALT, 1, rotten, offset) is None
            assert not is_unfinished(SALT, 1, rotten, offset), (at, bit)


def test_a_batch_with_a_random_sector_is_neither_valid_nor_unfinished() -> None:
    prng = Prng(3)
    data, end = placed(100, [bytes(900), b"y" * 900])
    for _ in range(300):
        start = 100 + prng.below(end - 100)
        size = min(end - start, 1 + prng.below(SECTOR_BYTES))
        rotten = data[:start] + prng.bytes(size) + data[start + size :]
        if rotten != data:
            assert decode_batch(SALT, 1, rotten, 100) is None
            assert not is_unfinished(SALT, 1, rotten, 100)


def test_a_batch_that_reaches_beyond_its_file_is_not_unfinished() -> None:
    data, end = placed(600, [b"x" * 1500])
    for size in range(660, end, 50):
        assert not is_unfinished(SALT, 1, data[:size], 600), size


def test_a_batch_of_another_place_or_log_does_not_pass() -> None:
    data, _ = placed(600, [b"frame"])
    assert decode_batch(SALT, 1, data, 600) is not None
    assert decode_batch(SALT, 2, data, 600) is None
    assert decode_batch(bytes(16), 1, data, 600) is None
    assert decode_batch(SALT, 1, b"q" + data, 601) is None


def test_a_batch_has_its_golden_bytes() -> None:
    data, digest = encode_batch(SALT, 1, 64, 5, b"p" * 16, [b"ab", b"c"])
    assert "51424154 dab1fa90 386c374e 0500000000000000 03000000 02000000 00000000 " + "70" * 16 == " ".join(
        data[start:stop].hex()
        for start, stop in ((0, 4), (4, 8), (8, 12), (12, 20), (20, 24), (24, 28), (28, 32), (32, 48))
    )
    assert b"abcQEND" == data[48:]
    assert 16 == len(digest)
