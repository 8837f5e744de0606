"""Record the first minute with Quantum and draw it: real commands, their real output, as one SVG.

    .venv/bin/python docs/make_picture.py

Starts a node on a temporary directory, subscribes with a session that stays, publishes while nobody listens, kills the
node with SIGKILL, starts it again and reads the message. Writes docs/first-minute.svg. Colours are those of a terminal;
nothing in the picture was typed by hand but the commands.
"""

import html
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
PORT = 18831
HTTP = 18832
COLUMNS = 112
FONT = 14
LINE = 20
PALETTE = {"prompt": "#7ee787", "command": "#f0f6fc", "output": "#9da7b3", "note": "#d2a8ff", "good": "#79c0ff"}


@dataclass
class Screen:
    """What stood on the terminal, line by line, with the kind of each line."""

    lines: list[tuple[str, str]] = field(default_factory=list)

    def command(self, text: str) -> None:
        """A prompt and what was typed."""
        self.lines.append(("command", text))

    def output(self, text: str, kind: str = "output") -> None:
        """What came back, folded at the width of the screen."""
        for line in text.rstrip("\n").split("\n"):
            for start in range(0, max(1, len(line)), COLUMNS):
                self.lines.append((kind, line[start : start + COLUMNS]))

    def note(self, text: str) -> None:
        """A comment, as one types it into a shell."""
        self.lines.append(("note", f"# {text}"))

    def space(self) -> None:
        """An empty line."""
        self.lines.append(("output", ""))


def shell(screen: Screen, folder: Path, command: str, kind: str = "output") -> str:
    """Run a command as it is shown, on the ports of the recording; its output."""
    screen.command(command)
    real = [str(BIN / "quantum"), *shlex.split(command)[1:], "--port", str(PORT)]
    done = subprocess.run(real, cwd=folder, capture_output=True, text=True, timeout=30, check=True)
    if done.stdout:
        screen.output(done.stdout, kind)
    return done.stdout


def start(screen: Screen, folder: Path) -> subprocess.Popen[str]:
    """`quantum run &`, up to its ready line; the real listeners are loopback's, on ports of the recording."""
    screen.command("quantum run &")
    command = [str(BIN / "quantum"), "run", "--listen", f"tcp://127.0.0.1:{PORT}", "--http", f"127.0.0.1:{HTTP}"]
    node = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert node.stdout is not None
    line = node.stdout.readline()
    assert "quantum ready" in line, line
    shown = line.replace(str(folder), ".").replace(str(PORT), "1883").replace(str(HTTP), "9090")
    screen.output(shown, "good")
    return node


def record(folder: Path) -> Screen:
    """The story. Whatever happens in it, no node is left behind."""
    screen = Screen()
    nodes = [start(screen, folder)]
    try:
        tell(screen, folder, nodes)
    finally:
        for node in nodes:
            if node.poll() is None:
                node.send_signal(signal.SIGTERM)
                node.wait(10)
    return screen


def tell(screen: Screen, folder: Path, nodes: list[subprocess.Popen[str]]) -> None:
    """From the running node to the message that is still there."""
    screen.space()
    screen.note("a session that stays, and leaves")
    away = "quantum subscribe 'alarms/#' --client-id pager --no-clean"
    screen.command(f"timeout 2 {away}")
    session = ["timeout", "2", str(BIN / "quantum"), *shlex.split(away)[1:], "--port", str(PORT)]
    done = subprocess.run(session, cwd=folder, capture_output=True, text=True, timeout=30, check=False)
    screen.output(done.stderr)
    screen.space()
    screen.note("returns when the message is on disk, synced")
    shell(screen, folder, "quantum publish alarms/boiler 'pressure 9.1 bar' --qos 2")
    screen.space()
    screen.command("kill -9 %1")
    nodes[0].kill()
    nodes[0].wait(10)
    screen.output("[1]+  Killed                  quantum run")
    screen.space()
    nodes.append(start(screen, folder))
    out = shell(screen, folder, f"{away} --count 1", "good")
    assert "pressure 9.1 bar" in out
    shell_inspect(screen, folder)


def shell_inspect(screen: Screen, folder: Path) -> None:
    """The ledger's own word for it."""
    screen.space()
    command = "quantum inspect state data | grep -E 'accepted|delivered|dropped|balanced'"
    screen.command(command)
    real = [str(BIN / "quantum"), "inspect", "state", "data"]
    done = subprocess.run(real, cwd=folder, capture_output=True, text=True, timeout=30, check=True)
    screen.output(
        "\n".join(line for line in done.stdout.split("\n") if re.search("accepted|delivered|dropped|balanced", line))
    )


def draw(screen: Screen) -> str:
    """The screen as SVG with text that can be selected."""
    height = LINE * len(screen.lines) + 70
    width = int(COLUMNS * FONT * 0.61) + 70
    rows = []
    for number, (kind, text) in enumerate(screen.lines):
        y = 62 + number * LINE
        prompt = ""
        if kind == "command":
            prompt = f'<tspan fill="{PALETTE["prompt"]}">$ </tspan>'
        body = html.escape(re.sub(r"\s+$", "", text))
        rows.append(f'<text x="24" y="{y}" fill="{PALETTE[kind]}" xml:space="preserve">{prompt}{body}</text>')
    dots = "".join(
        f'<circle cx="{24 + 20 * number}" cy="22" r="6" fill="{colour}"/>'
        for number, colour in enumerate(("#ff5f56", "#ffbd2e", "#27c93f"))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="{FONT}">\n'
        "<title>The first minute: a message survives kill -9</title>\n"
        f'<rect width="100%" height="100%" rx="10" fill="#0d1117"/>\n{dots}\n' + "\n".join(rows) + "\n</svg>\n"
    )


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="quantum-picture-") as folder:
        screen = record(Path(folder))
    (HERE / "first-minute.svg").write_text(draw(screen), encoding="utf-8")
    for kind, text in screen.lines:
        print(("$ " if kind == "command" else "") + text)


if __name__ == "__main__":
    main()
