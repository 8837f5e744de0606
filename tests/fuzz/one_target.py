"""One target under atheris, in a process of its own, because libFuzzer ends the process.

python -m tests.fuzz.one_target NAME [libFuzzer's options] FOLDER…
"""

import sys

import atheris


def main() -> None:
    """Does not return."""
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=["quantum", "wsproto"]):
        from tests.fuzz.targets import load_target

        target = load_target(name)
    atheris.Setup([*sys.argv, f"-max_len={target.BYTES_MAX}"], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
