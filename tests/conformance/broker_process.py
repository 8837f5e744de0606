"""A `quantum run` in a process of its own: started on free ports, known by its ready line, stopped by its pid."""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

READY_S = 60
STOP_S = 20
LISTENER = re.compile(r"\b(tcp|tls|ws|wss|http)://127\.0\.0\.1:(\d+)")


@dataclass
class BrokerProcess:
    """One node on a directory; may be killed and started again on it."""

    data_dir: Path
    options: list[str] = field(default_factory=list)
    schemes: tuple[str, ...] = ("tcp",)
    prefix: tuple[str, ...] = ()  # of the command, such as taskset
    ports: dict[str, int] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None
    lines: list[str] = field(default_factory=list)

    def start(self) -> None:
        """Start and wait for the ready line. A second start keeps the ports of the first."""
        command = [*self.prefix, sys.executable, "-m", "quantum.cli.main", "run", "--data-dir", str(self.data_dir)]
        for scheme in self.schemes:
            command += ["--listen", f"{scheme}://127.0.0.1:{self.ports.get(scheme, 0)}"]
        command += ["--http", f"127.0.0.1:{self.ports.get('http', 0)}", *self.options]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("QUANTUM_")}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        ready: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(self.process, ready), daemon=True).start()
        try:
            line = ready.get(timeout=READY_S)
        except queue.Empty:
            line = None
        if line is None:
            self.kill()
            raise AssertionError("quantum run did not become ready:\n" + "\n".join(self.lines))
        self.ports = {scheme: int(port) for scheme, port in LISTENER.findall(line)}

    def kill(self) -> None:
        """Stop at once, as a crash does."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """A crash, and the start behind it."""
        self.kill()
        self.start()

    def stop(self) -> int:
        """Stop in order; the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: int) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            os.kill(self.process.pid, number)
        return self.process.wait(STOP_S)

    def _read(self, process: subprocess.Popen[str], ready: "queue.SimpleQueue[str | None]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.lines.append(line.rstrip())
            if "quantum ready" in line:
                ready.put(line)
        ready.put(None)
