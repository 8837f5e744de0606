"""Goal: what fuzzing found once is never broken again. Method: every input of every corpus, and every seed, once more
through its target, without atheris; and each target shown something wrong, which it must see."""

import pytest

from tests.fuzz.corpus import read_corpus
from tests.fuzz.targets import NAMES, load_target


@pytest.mark.parametrize("name", NAMES)
def test_corpus_has_no_finding(name: str) -> None:
    target = load_target(name)
    inputs = [*target.SEEDS, *read_corpus(name)]
    assert len(inputs) >= 5
    for data in inputs:
        assert len(data) <= target.BYTES_MAX
        try:
            target.check(data)
        except Exception as error:
            raise AssertionError(f"input {data.hex()}") from error
