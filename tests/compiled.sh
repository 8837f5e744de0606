#!/usr/bin/env bash
# Build quantum/core with mypyc outside the source tree and run the core's tests against the shared libraries.
# The build, the tests and the working directory are all under build/compiled, so nothing can import the sources.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$(cd "${1:-.venv/bin}" && pwd)
room="$PWD/build/compiled"
rm -rf "$room"
mkdir -p "$room/source" "$room/run"

# pyproject.toml stays behind: the build reads only setup.py, and works with any setuptools that the machine has.
cp -r setup.py quantum "$room/source/"
find "$room/source" -name __pycache__ -prune -exec rm -rf {} +
(cd "$room/source" && QUANTUM_COMPILE=1 QUANTUM_COMPILE_OPT="${QUANTUM_COMPILE_OPT:-1}" \
  "$bin/python" setup.py --quiet build --build-base "$room/temp" --build-lib "$room/lib" >"$room/build.log" 2>&1) || {
  tail -n 60 "$room/build.log"
  echo "compiled: the core does not compile; the whole log is build/compiled/build.log"
  exit 1
}

# The packages' front pages and what lies beside core; a shared library comes before the module of its name.
cp -r "$room/source/quantum" "$room/lib/"
cp pyproject.toml "$room/run/"
cp -r tests fixtures docs "$room/run/"
cd "$room/run"
export PYTHONPATH="$room/lib"
"$bin/python" - <<'PY'
import importlib
import pathlib
import sys

import quantum.core

root = pathlib.Path(quantum.core.__file__).parent
names = [
    "quantum.core." + ".".join(path.relative_to(root).with_suffix("").parts)
    for path in sorted(root.rglob("*.py"))
    if path.name != "__init__.py"
]
pure = [name for name in names if not importlib.import_module(name).__file__.endswith(".so")]
for name in names[:3]:
    print(name, "is", pathlib.Path(importlib.import_module(name).__file__).name)
print(f"compiled: {len(names) - len(pure)} of {len(names)} modules of quantum.core are shared libraries")
sys.exit(f"compiled: pure Python: {pure}" if pure or not names else 0)
PY
"$bin/python" -m pytest -n "${WORKERS:-2}" -m "not slow" -p no:cacheprovider tests/core
