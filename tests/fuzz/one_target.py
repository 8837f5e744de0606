"""One target under atheris, in a process of its own, because libFuzzer ends the process.

python -m tests.fuzz.one_target NAME [libFuzzer's options] FOLDER…
"""

import sys

import atheris
from atheris.import_hook import HookManager

from tests.fuzz.targets import OF_OPERATIONS, UNTRACED, load_target


def main() -> None:
    """Does not return."""
    name = sys.argv.pop(1)
    is_plain = name in OF_OPERATIONS
    with HookManager({"quantum", "wsproto"}, set(UNTRACED if is_plain else ()), True, trace_dataflow=not is_plain):
        target = load_target(name)
    atheris.Setup([*sys.argv, f"-max_len={target.BYTES_MAX}"], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
