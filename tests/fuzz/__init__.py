"""Coverage-guided fuzzing of everything that parses bytes from elsewhere.

A target is a module `fuzz_NAME.py` with `check(data)`, which raises where something is wrong and returns else,
`BYTES_MAX`, and `SEEDS`, inputs that are right. Its corpus is `fixtures/wire/NAME.txt`. `test_corpus.py` replays the
corpora without atheris; `make fuzz` looks for more.
"""
