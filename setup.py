"""The optional compilation of quantum/core by mypyc: as one unit, all or nothing.

Everything else about the package is in pyproject.toml. Compilation happens only when a wheel is built with
QUANTUM_COMPILE=1, and then a failure of the compiler fails the build. QUANTUM_COMPILE=auto tries, and falls back to
pure Python as a whole. An editable install is never compiled: setuptools would lay the shared libraries beside the
sources, where they shadow every later edit.
"""

import contextlib
import os
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
MODE = os.environ.get("QUANTUM_COMPILE", "0")
OPTIMISE = os.environ.get("QUANTUM_COMPILE_OPT", "3")  # -O level of the C compiler; 1 builds in half the time
IS_EDITABLE = any(word in sys.argv for word in ("editable_wheel", "develop"))
IS_BUILD = any(word in sys.argv for word in ("bdist_wheel", "build_ext", "build"))


def core_modules() -> list[str]:
    """Every module of quantum/core that has code. The empty front pages of rooms stay as they are."""
    paths = sorted((ROOT / "quantum" / "core").rglob("*.py"))
    return [str(path.relative_to(ROOT)) for path in paths if path.name != "__init__.py"]


def extensions() -> list[object]:
    """The compiled unit, or nothing."""
    if MODE == "0" or IS_EDITABLE or not IS_BUILD:
        return []
    try:
        from mypyc.build import mypycify

        arguments = ["--strict", "--ignore-missing-imports", "--no-warn-unused-ignores", *core_modules()]
        return list(mypycify(arguments, group_name="quantum_core", opt_level=OPTIMISE, multi_file=True))
    except (Exception, SystemExit) as error:  # mypyc reports errors of types by exiting
        if MODE == "1":
            raise
        print(f"quantum: core stays pure Python: {error}", file=sys.stderr)
        return []


class BuildAllOrNothing(build_ext):
    """A half-built unit leaves modules that import a missing shared library, so one failure takes all of it away."""

    def run(self) -> None:
        try:
            super().run()
        except (Exception, SystemExit) as error:
            if MODE == "1":
                raise
            for output in self.get_outputs():
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(output)
            self.extensions = []
            print(f"quantum: core stays pure Python: {error}", file=sys.stderr)


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildAllOrNothing})
