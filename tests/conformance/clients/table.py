"""The matrix client × version × scenario, printed behind the run of its tests."""

import pytest

from tests.conformance.clients.scenarios import SCENARIOS

WORDS = {"passed": "ok", "failed": "FAILED", "skipped": "-"}
CELL = "test_client_matrix.py::test_client["


class ClientTable:
    """A plugin of pytest; where tests run in several processes, it is the first one's that prints."""

    def __init__(self) -> None:
        self._outcomes: dict[tuple[str, str], str] = {}  # ("paho-mqtt-5.0", scenario) → outcome
        self._reasons: dict[str, list[str]] = {}  # why not → cells

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the worst of a cell's phases."""
        if CELL not in report.nodeid:
            return
        if report.when != "call" and report.outcome == "passed":
            return
        name = report.nodeid.partition(CELL)[2].removesuffix("]")
        scenario = next(scenario for scenario in SCENARIOS if name.endswith(f"-{scenario}"))
        row = name.removesuffix(f"-{scenario}")
        self._outcomes[row, scenario] = report.outcome
        if report.outcome == "skipped" and isinstance(report.longrepr, tuple | list):
            self._reasons.setdefault(report.longrepr[2].removeprefix("Skipped: "), []).append(f"{row} {scenario}")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """One row a client and version, one column a scenario."""
        if not self._outcomes:
            return
        terminalreporter.section("clients that people use")
        for line in self.lines():
            terminalreporter.write_line(line)

    def lines(self) -> list[str]:
        """The table and, below it, why cells are empty."""
        reasons = list(self._reasons)
        number_of = {cell: reasons.index(reason) + 1 for reason in reasons for cell in self._reasons[reason]}
        rows = list(dict.fromkeys(row for row, _ in self._outcomes))
        width = max(len(row) for row in rows)
        lines = ["  ".join([" " * width, *SCENARIOS])]
        for row in rows:
            cells = [row.ljust(width)]
            for scenario in SCENARIOS:
                word = WORDS.get(self._outcomes.get((row, scenario), ""), "")
                number = number_of.get(f"{row} {scenario}")
                cells.append((word if number is None else f"({number})").ljust(len(scenario)))
            lines.append("  ".join(cells).rstrip())
        lines += [f"({number}) {reason}" for number, reason in enumerate(reasons, 1)]
        counts = [sum(outcome == word for outcome in self._outcomes.values()) for word in WORDS]
        lines.append(f"{counts[0]} cells ok, {counts[1]} failed, {counts[2]} not run, for the reasons above")
        return lines
