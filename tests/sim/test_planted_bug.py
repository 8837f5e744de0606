"""Goal: a bug goes from its first failing seed to a schedule of at most 15 events and a page, with the command alone.
Method: a copy of the package with one line made wrong, and `quantum sim` run on it as a process."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from quantum.sim.scenario import decode_scenario
from tests.sim.test_page import in_browser, shown
from tests.tidy.sources import ROOT

EVENTS_MAX = 15
# Raft §5.4.2, figure 8: what the leader itself has counts when its own disk has it, like everybody's.
LEADER_COUNTS_ITSELF = (
    "core/raft/leading.py",
    "leadership.committed_index(raft.durability.durable_index)",
    "leadership.committed_index(raft.log.last_index)",
)
# [MQTT-4.3.3-10] A PUBLISH whose Packet Identifier was received is not published again.
QOS_2_ID_FORGOTTEN = (
    "core/broker/publishing.py",
    "if packet_id and packet_id in session.received:",
    "if packet_id < 0:",
)


def planted(path: Path, bug: tuple[str, str, str]) -> Path:
    """A copy of the package that has the bug."""
    shutil.copytree(ROOT / "quantum", path / "quantum", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    file = path / "quantum" / bug[0]
    text = file.read_text(encoding="utf-8")
    assert 1 == text.count(bug[1])
    file.write_text(text.replace(bug[1], bug[2]), encoding="utf-8")
    return path


def sim(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, on the copy."""
    command = [sys.executable, "-m", "quantum.cli.main", "sim", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(path)}
    return subprocess.run(command, cwd=path, env=environment, capture_output=True, text=True, timeout=280, check=False)


def first_failure(path: Path, profile: str, seeds: str) -> tuple[int, str, str]:
    """Seed, law, and the line that shows it again."""
    result = sim(path, "--seeds", seeds, "--profile", profile, "--failures-max", "1", "--report", "report.json")
    assert 1 == result.returncode, result.stderr
    failure = json.loads((path / "report.json").read_text(encoding="utf-8"))["failures"][0]
    assert failure["again"] in result.stdout
    return failure["seed"], failure["law"], failure["again"]


@in_browser
def test_leader_that_counts_itself_before_its_disk_is_found_made_small_and_drawn(tmp_path: Path) -> None:
    path = planted(tmp_path, LEADER_COUNTS_ITSELF)
    _, law, again = first_failure(path, "lite", "1..100")
    result = sim(path, *again.split()[2:], "--shrink", "--save", "small.json", "--html", "small.html")
    assert 1 == result.returncode
    found = re.search(r"shrunk: (\d+) events", result.stdout)
    assert found is not None
    assert int(found[1]) <= EVENTS_MAX
    small = sim(path, "--scenario", "small.json")
    assert f"law        {law}" in small.stdout
    page = (path / "small.html").read_text(encoding="utf-8")
    assert len(page.encode()) < 2_000_000
    document = shown(page, path)
    assert 'data-state="drawn"' in document
    assert f"{law} broken at" in document


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_forgotten_qos_2_identifier_is_found_in_whole_nodes_and_made_small(tmp_path: Path) -> None:
    path = planted(tmp_path, QOS_2_ID_FORGOTTEN)
    _, law, again = first_failure(path, "standard", "1..100")
    result = sim(path, *again.split()[2:], "--shrink", "--save", "small.json", "--jobs", "2")
    assert 1 == result.returncode
    found = re.search(r"shrunk: (\d+) events", result.stdout)
    assert found is not None
    assert int(found[1]) <= EVENTS_MAX
    assert len(decode_scenario((path / "small.json").read_text(encoding="utf-8")).faults or []) <= EVENTS_MAX
    assert f"law        {law}" in sim(path, "--scenario", "small.json").stdout
