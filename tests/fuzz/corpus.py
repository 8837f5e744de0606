"""Corpora as text: an input a line in hex, `#` begins a comment. What a finding was is said above its line."""

from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "fixtures" / "wire"
EMPTY = "-"  # stands for the input without bytes


def corpus_path(target: str) -> Path:
    """The file of one target."""
    return FOLDER / f"{target}.txt"


def read_corpus(target: str) -> list[bytes]:
    """Its inputs, in order."""
    lines = [line.partition("#")[0].strip() for line in corpus_path(target).read_text().splitlines()]
    return [bytes.fromhex(line.removeprefix(EMPTY)) for line in lines if line]


def add_to_corpus(target: str, inputs: Iterable[bytes]) -> int:
    """Append those that are not there, short ones first; how many those are."""
    known = set(read_corpus(target))
    fresh = sorted((data for data in inputs if data not in known), key=lambda data: (len(data), data))
    with corpus_path(target).open("a") as file:
        file.writelines(f"{data.hex() or EMPTY}\n" for data in fresh)
    return len(fresh)
