"""Goal: the page of a run is one file that a browser shows whole: lanes, arrows, bands, flows, and the causes of whatever
is pointed at. Method: toy runs; headless Chromium draws them and tells what stands in the document."""

import html
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from quantum.sim import page as drawing
from quantum.sim.history import (
    APPLY,
    CLIENT,
    COMMIT,
    DELIVER,
    DROP,
    DURABLE,
    FAULT,
    FSYNC_BEGIN,
    FSYNC_END,
    KILL,
    NOTE,
    PACKET,
    POWER,
    SEND,
    VIOLATION,
    History,
)
from quantum.sim.page import PAGE_BYTES_MAX, page_of
from quantum.sim.scenario import LITE, Outcome, Scenario
from tests.sim import toy

AGAIN = "quantum sim --repro Q1:0.1.0:lite:1:1:00000000"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# What is left of a node's lane when only the notes are shown.
HIDDEN_BY_FILTER = (
    SEND,
    DELIVER,
    DROP,
    PACKET,
    CLIENT,
    FSYNC_BEGIN,
    FSYNC_END,
    COMMIT,
    APPLY,
    DURABLE,
    FAULT,
    KILL,
    POWER,
)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --virtual-time-budget=4000 --window-size=1400,900"
).split()
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


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


@in_browser
def test_keys_search_and_filters_do_what_the_help_says(tmp_path: Path) -> None:
    scenario, outcome, history = toy_run()
    violation = history.events[-1]
    own = [event for event in history.events if event.lane == violation.lane and event.kind not in HIDDEN_BY_FILTER]
    steps = """
      const root = document.documentElement.dataset, told = [];
      const press = (key) => document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
      const note = () => told.push(root.selected || "none");
      press("v"); note();
      press("ArrowLeft"); note();
      press("ArrowRight"); note();
      press("c"); note();
      press("e"); note();
      press("Escape"); note();
      for (const button of document.querySelectorAll("#groups button")) if (button.textContent !== "notes") button.click();
      press("v"); press("ArrowLeft"); note();
      press("t"); told.push(document.getElementById("axis").getAttribute("aria-pressed"));
      press("/"); told.push(document.activeElement.id);
      const search = document.getElementById("search");
      search.value = "killed"; search.dispatchEvent(new Event("input"));
      told.push(document.getElementById("found-title").textContent);
      press("+"); press("-"); press("0"); press("?");
      told.push(document.getElementById("keys").open);
      root.told = told.join(" ");
    """
    page = page_of(scenario, outcome, history, AGAIN).replace("</body>", f"<script>{{{steps}}}</script></body>")
    document = shown(page, tmp_path, "#axis=time&find=")
    told = re.search(r'data-told="([^"]*)"', document)
    assert told is not None
    cause = violation.causes[-1]
    every = [event for event in history.events if event.lane == violation.lane]
    expected = [violation.number, every[-2].number, violation.number, cause, violation.number, "none", own[-2].number]
    assert " ".join(map(str, [*expected, "true", "search", "Found 0", "true"])) == told[1]


@in_browser
def test_pointing_dims_everything_but_the_cone(tmp_path: Path) -> None:
    scenario, outcome, history = toy_run()
    steps = """
      const at = (event) => ({ x: xOf(event), y: yOf(event) });
      const chosen = events.find((event) => event.kind === DELIVER && event.lane === 1);
      const box = canvas.getBoundingClientRect();
      const move = (type, px, py) => canvas.dispatchEvent(
        new PointerEvent(type, { clientX: box.left + px, clientY: box.top + py, bubbles: true, pointerId: 1 }));
      view = [chosen.time - 5000, chosen.time + 5000];
      const spot = at(chosen);
      move("pointermove", spot.x, spot.y);
      const root = document.documentElement.dataset;
      root.pointed = hovered && hovered.number;
      root.cone = cone ? cone.before.size + " " + cone.after.size : "none";
      move("pointerleave", 0, 0);
      root.after = String(cone);
      root.wanted = chosen.number;
    """
    page = page_of(scenario, outcome, history, AGAIN).replace("</body>", f"<script>{{{steps}}}</script></body>")
    document = shown(page, tmp_path, "#axis=time&find=")
    wanted = re.search(r'data-wanted="(\d+)"', document)
    assert wanted is not None
    before, after = cone_of(history, int(wanted[1]))
    assert f'data-pointed="{wanted[1]}"' in document
    assert f'data-cone="{len(before)} {len(after)}"' in document
    assert 'data-after="null"' in document


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
