"""Goal: the substrate replicates a program that is no broker, with no help from rooms that know MQTT, and the example in
the documents runs. Method: the example itself, as a process, as a module, and with its leader killed at every moment."""

import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.sim.test_page import in_browser, shown
from tests.tidy.sources import ROOT

EXAMPLES = ROOT / "docs" / "examples"
SUBSTRATE = ("group", "raft", "wal", "snapshot", "state_machine", "prng")


@pytest.fixture(scope="module")
def example() -> Iterator[ModuleType]:
    sys.path.insert(0, str(EXAMPLES))
    try:
        yield importlib.import_module("embedding_cluster")
    finally:
        sys.path.remove(str(EXAMPLES))


def test_example_runs_and_every_member_ends_with_the_same_map() -> None:
    command = [sys.executable, str(EXAMPLES / "embedding_cluster.py")]
    lines = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()
    assert re.fullmatch(r"member \d led and was killed, member \d went on in term \d+", lines[0])
    assert [f"member {number}: {{'colour': 'green', 'shape': 'round'}}" for number in (1, 2, 3)] == lines[1:]


def test_document_shows_what_the_example_prints(example: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    example.story()
    assert capsys.readouterr().out in (ROOT / "docs" / "embedding.md").read_text(encoding="utf-8")


def test_member_needs_the_substrate_alone_and_is_short() -> None:
    text = (EXAMPLES / "embedding_kv.py").read_text(encoding="utf-8")
    rooms = {name.split(".")[2] for name in re.findall(r"^from (quantum\.[\w.]+)", text, re.MULTILINE)}
    assert set() == rooms - set(SUBSTRATE)
    code = [line for line in text.splitlines() if line.strip() and not line.startswith(("from ", "import "))]
    assert len(code) < 100


@pytest.mark.parametrize("victim", [1, 2, 3])
def test_what_was_acknowledged_survives_a_kill_at_any_moment(example: ModuleType, victim: int) -> None:
    for moment in range(0, 400, 13):
        cluster = example.Cluster()
        for number in cluster.disks:
            cluster.start(number)
        for _ in range(moment):
            cluster.tick()
        cluster.put("first", str(moment))
        cluster.kill(victim)
        cluster.put("second", str(moment))
        cluster.start(victim)
        cluster.put("third", str(moment))
        for _ in range(100):
            cluster.tick()
        expected = {"first": str(moment), "second": str(moment), "third": str(moment)}
        assert [expected] * 3 == [cluster.members[number].machine.values for number in (1, 2, 3)]


@pytest.mark.parametrize("victim", [1, 2, 3])
def test_rot_in_the_log_of_a_killed_member_is_repaired_by_the_others(example: ModuleType, victim: int) -> None:
    cluster = example.Cluster()
    for number in cluster.disks:
        cluster.start(number)
    for number in range(20):
        cluster.put(f"key {number}", "value")
    cluster.kill(victim)
    (content,) = cluster.disks[victim].values()
    content[len(bytes(content).rstrip(b"\0")) // 2] ^= 1
    cluster.start(victim)
    cluster.put("last", "value")
    for _ in range(300):
        cluster.tick()
    expected = {**{f"key {number}": "value" for number in range(20)}, "last": "value"}
    assert [expected] * 3 == [cluster.members[number].machine.values for number in (1, 2, 3)]


@in_browser
def test_page_of_the_example_renders(example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "story.html"
    example.main([str(page)])
    document = shown(page.read_text(encoding="utf-8"), tmp_path)
    assert 'data-state="drawn"' in document
    assert "A replicated map" in document
    assert "3 nodes" in document
    assert "killed" in document
    bands = re.search(r'data-bands="(\d+)"', document)
    assert bands is not None
    assert int(bands[1]) >= 6
