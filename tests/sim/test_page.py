"""Goal: the page of a run is one file that a browser shows whole: lanes, arrows, bands, flows, and the causes of whatever
is pointed at. Method: toy runs; headless Chromium draws them and tells what stands in the document."""

import html
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from quantum.sim import page as drawing
from quantum.sim.history import DELIVER, KILL, NOTE, SEND, VIOLATION, History
from quantum.sim.page import PAGE_BYTES_MAX, page_of
from quantum.sim.scenario import LITE, Outcome, Scenario
from tests.sim import toy

AGAIN = "quantum sim --repro Q1:0.1.0:lite:1:1:00000000"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --virtual-time-budget=4000 --window-size=1400,900"
).split()
in_browser = pytest.mark.skipif(CHROMIUM is None and "CI" not in os.environ, reason="no Chromium on this machine")


def toy_run(seed: int = 1) -> tuple[Scenario, Outcome, History]:
    history = History()
    scenario = Scenario(LITE, seed)
    return scenario, toy.run(scenario, history), history


def shown(page: str, path: Path, fragment: str = "") -> str:
    """The document after the page has drawn itself."""
    assert CHROMIUM is not None, "Chromium is not installed"
    file = path / "page.html"
    file.write_text(page, encoding="utf-8")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={path / 'profile'}", "--dump-dom", f"file://{file}{fragment}"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return re.sub(r"<script.*?</script>", "", result.stdout, flags=re.DOTALL)


def test_page_is_one_file_that_fetches_nothing() -> None:
    page = page_of(*toy_run(), AGAIN)
    assert not re.search(r"""(src|href)\s*=|@import|url\(|fetch\(|https?://""", page)
    assert page.startswith("<!doctype html>")
    assert "@DATA@" not in page
    assert "@SCRIPT@" not in page


def test_long_run_keeps_what_led_to_the_violation_and_what_happened_to_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    history = History()
    kill = history.add(1, 2, KILL, "killed first of all")
    cause = history.add(2, 1, SEND, "the cause of it", (), 2)
    for at in range(20_000):
        history.add(10 + at, 1 + at % 3, NOTE, f"something else {at}")
    history.add(30_000, 2, VIOLATION, "R7: this; that", (history.add(29_999, 2, DELIVER, "it arrived", (cause,), 1),))
    outcome = Outcome("R7", ("this", "that"), "00" * 16, {}, {}, 30_000)
    frame_bytes = len(page_of(Scenario(LITE, 1), outcome, History(), AGAIN).encode())
    monkeypatch.setattr(drawing, "PAGE_BYTES_MAX", frame_bytes + 60_000)
    page = page_of(Scenario(LITE, 1), outcome, history, AGAIN)
    assert len(page.encode()) <= frame_bytes + 60_000
    assert kill == 1
    for text in ("killed first of all", "the cause of it", "it arrived", "something else 19999"):
        assert text in page
    assert '"something else 5"' not in page


def test_page_of_the_longest_history_fits() -> None:
    history = History()
    before = 0
    for at in range(150_000):
        before = history.add(
            at * 37, 1 + at % 5, SEND + at % 2, f"AppendEntries {at} of a term and an index", (before,), 3
        )
    page = page_of(Scenario(LITE, 1), Outcome("", ("", ""), "00" * 16, {}, {}), history, AGAIN)
    assert PAGE_BYTES_MAX // 2 < len(page.encode()) <= PAGE_BYTES_MAX < 2_000_000


def test_texts_of_a_run_cannot_become_markup() -> None:
    history = History()
    history.add(1, 1, NOTE, "</script><script>document.title = 'x'</script>")
    outcome = Outcome("R1", ("<b>", "</script>"), "00" * 16, {}, {})
    page = page_of(Scenario(LITE, 1), outcome, history, "<i>")
    assert 2 == page.count("</script>")


@in_browser
def test_browser_draws_everything_a_run_has(tmp_path: Path) -> None:
    scenario, outcome, history = toy_run()
    document = shown(page_of(scenario, outcome, history, AGAIN), tmp_path)
    drawn = {
        name: int(count) for name, count in re.findall(r'data-(events|arrows|bands|fsyncs|flows)="(\d+)"', document)
    }
    kinds = [event.kind for event in history.events]
    assert 'data-state="drawn"' in document
    assert len(history.events) == drawn["events"]
    assert drawn["arrows"] >= kinds.count(DELIVER)
    assert drawn["bands"] > 0
    assert drawn["fsyncs"] > 0
    assert drawn["flows"] > 0
    text = html.unescape(document)
    for part in (outcome.law, *outcome.facts, AGAIN, "Seed 1, lite", "5 nodes"):
        assert part in text


@in_browser
def test_pointing_at_an_event_shows_all_its_causes_and_effects(tmp_path: Path) -> None:
    scenario, outcome, history = toy_run()
    chosen = next(event for event in history.events if event.kind == DELIVER and event.lane == 1)
    before, after = cone_of(history, chosen.number)
    assert before
    assert after
    document = html.unescape(shown(page_of(scenario, outcome, history, AGAIN), tmp_path, f"#event={chosen.number}"))
    assert f'data-selected="{chosen.number}"' in document
    assert f"Comes from ({len(before)})" in document
    assert f"Leads to ({len(after)})" in document
    assert f"{len(before)} before it, {len(after)} after it." in document


@in_browser
def test_browser_draws_a_clean_run_and_a_large_one(tmp_path: Path) -> None:
    history = History()
    history.add(5, 1, NOTE, "nothing happened")
    outcome = Outcome("", ("", ""), "00" * 16, {}, {})
    small = shown(page_of(Scenario(LITE, 1), outcome, history, AGAIN), tmp_path)
    assert 'data-state="drawn"' in small
    assert ">clean<" in small
    for at in range(60_000):
        history.add(at * 11 + 5, 1 + at % 7, SEND, "AppendEntries", (), 2)
    assert 'data-state="drawn"' in shown(page_of(Scenario(LITE, 1), outcome, history, AGAIN), tmp_path)


def cone_of(history: History, number: int) -> tuple[set[int], set[int]]:
    """All that an event rests on, and all that rests on it, found the slow way."""
    before, after = {number}, {number}
    for event in reversed(history.events):
        if event.number in before:
            before.update(event.causes)
    for event in history.events:
        if after.intersection(event.causes):
            after.add(event.number)
    return before - {number}, after - {number}
