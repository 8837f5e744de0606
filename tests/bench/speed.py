"""The speed table: Quantum beside mosquitto on one machine, each alone on CPU 0, the generator on CPU 1.

    make bench                                   every row, three alternating runs, medians
    make bench BENCH_ARGS="--rows pairs --runs 1 --out result.json"

Quantum acknowledges after fsync; mosquitto runs without persistence, so the rows with QoS 1 and 2 compare a promise
kept on disk with none. A run holds the lock /tmp/bench.lock, so that two of them never share the machine.
"""

import argparse
import fcntl
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.memory import tls_connections
from tests.conformance.broker_process import BrokerProcess

HERE = Path(__file__).resolve().parent
BROKER_CPU, GENERATOR_CPU = "0", "1"
LOCK = "/tmp/bench.lock"
RECOVERED_MESSAGES = 1_000_000
IDLE_CONNECTIONS = 2000
IDLE_TLS_CONNECTIONS = 300


@dataclass(frozen=True)
class Row:
    """One line of the table: what the generator does, and what Quantum is to reach."""

    name: str
    title: str
    arguments: str
    goal: float  # times mosquitto's messages a second


ROWS = (
    Row("pairs", "QoS 0, 16 pairs, window 20", "pairs --pubs 16 --qos 0 --window 20", 3),
    Row("fanout", "QoS 0, fan-out 1 to 100", "fanout --subs 100 --qos 0 --window 20", 4),
    Row("fanin", "QoS 0, fan-in 100 to 1", "fanin --pubs 100 --qos 0 --window 20", 2),
    Row("qos1", "QoS 1, 16 pairs, window 20", "pairs --pubs 16 --qos 1 --window 20", 1),
    Row("qos2", "QoS 2, 16 pairs, window 20", "pairs --pubs 16 --qos 2 --window 20", 0.5),
    Row("narrow0", "QoS 0, 400 pairs, window 1", "pairs --pubs 400 --qos 0 --window 1", 0.8),
    Row("narrow1", "QoS 1, 400 pairs, window 1", "pairs --pubs 400 --qos 1 --window 1", 0.8),
)


@dataclass
class Result:
    """The runs of one row."""

    row: Row
    quantum: list[dict[str, Any]] = field(default_factory=list)
    mosquitto: list[dict[str, Any]] = field(default_factory=list)

    def rate(self, runs: list[dict[str, Any]]) -> float:
        """The median of delivered messages a second; 0 where no run was whole."""
        rates = [run["delivered_s"] for run in runs if run.get("ok")]
        return statistics.median(rates) if rates else 0.0

    @property
    def ratio(self) -> float:
        """Quantum over mosquitto; 0 without mosquitto."""
        peer = self.rate(self.mosquitto)
        return self.rate(self.quantum) / peer if peer else 0.0

    @property
    def faults(self) -> int:
        """Messages that Quantum lost, doubled or reordered."""
        return sum(run.get(name) or 0 for run in self.quantum for name in ("lost", "dup", "reordered"))


@contextmanager
def locked() -> Iterator[None]:
    """Alone on the machine, among those who keep to the lock."""
    with open(LOCK, "a", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def descendants(root: int) -> list[int]:
    """A process and its children, such as the helper that syncs."""
    found = [root]
    for pid in found:
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        except OSError:
            continue
        found.extend(int(child) for child in children.split())
    return found


def generate(binary: Path, arguments: list[str], port: int, pid: int, timeout_s: int = 120) -> dict[str, Any]:
    """One run of the generator; its JSON line."""
    command = ["taskset", "-c", GENERATOR_CPU, str(binary), *arguments, "--port", str(port)]
    for process in descendants(pid):
        command += ["--pid", str(process)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
        result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"ok": False, "error": f"not done after {timeout_s} s"}
    except (ValueError, IndexError):
        return {"ok": False, "error": done.stderr[-300:] or "no output"}
    return result


@contextmanager
def quantum(folder: Path, schemes: tuple[str, ...] = ("tcp",)) -> Iterator[BrokerProcess]:
    """A node with its defaults: every acknowledgement after fsync."""
    node = BrokerProcess(folder, schemes=schemes, prefix=("taskset", "-c", BROKER_CPU))
    node.start()
    try:
        yield node
    finally:
        node.stop()


@contextmanager
def mosquitto(folder: Path, port: int) -> Iterator[int]:
    """mosquitto without persistence; its pid."""
    config = folder / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nlog_dest none\npersistence false\n",
        encoding="ascii",
    )
    command = ["taskset", "-c", BROKER_CPU, "mosquitto", "-c", str(config)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        assert process.poll() is None, f"mosquitto did not start on port {port}"
        yield process.pid
    finally:
        process.terminate()
        process.wait(10)


def measure_row(result: Result, binary: Path, seconds: float, peer_port: int) -> None:
    """One run of Quantum and, where it is installed, one of mosquitto."""
    arguments = [*result.row.arguments.split(), "--duration", str(seconds), "--warmup", "1"]
    with tempfile.TemporaryDirectory(prefix="quantum-bench-") as name, locked():
        folder = Path(name)
        with quantum(folder / "data") as node:
            assert node.process is not None
            result.quantum.append(generate(binary, arguments, node.ports["tcp"], node.process.pid))
        if shutil.which("mosquitto"):
            with mosquitto(folder, peer_port) as pid:
                result.mosquitto.append(generate(binary, arguments, peer_port, pid))


def measure_recovery(binary: Path) -> dict[str, Any]:
    """A million queued QoS 1 messages, kill -9, and the seconds until the node is ready again."""
    from quantum.cli.address import Address
    from quantum.cli.connection import BrokerConnection, Identity
    from quantum.cli.transport import Tls
    from quantum.core.mqtt.packets import Suback, Subscription

    publishers = 16
    with tempfile.TemporaryDirectory(prefix="quantum-bench-") as name, locked():
        node = BrokerProcess(Path(name) / "data", prefix=("taskset", "-c", BROKER_CPU))
        node.start()
        for number in range(publishers):
            address = Address("tcp", "127.0.0.1", node.ports["tcp"])
            identity = Identity(address, Tls(), 5, f"away-{number}", False, 3600)
            connection = BrokerConnection(identity, print)
            connection.open(10)
            connection.mqtt.subscribe([Subscription(f"mq/{number}/#", 1)])
            while not any(isinstance(packet, Suback) for packet in connection.poll(1)[0]):
                pass
            connection.close()
        count = RECOVERED_MESSAGES // publishers
        arguments = ["pubonly", "--pubs", str(publishers), "--qos", "1", "--window", "100", "--count", str(count)]
        assert node.process is not None
        published = generate(binary, [*arguments, "--timeout", "400"], node.ports["tcp"], node.process.pid, 420)
        node.kill()
        begin = time.monotonic()
        node.start()
        seconds = time.monotonic() - begin
        node.stop()
    return {"messages": RECOVERED_MESSAGES, "published": published, "seconds": round(seconds, 2), "goal_s": 10}


def measure_memory(binary: Path) -> dict[str, Any]:
    """Resident bytes per idle connection, plain and TLS."""
    with tempfile.TemporaryDirectory(prefix="quantum-bench-") as name, locked():
        with quantum(Path(name) / "data") as node:
            assert node.process is not None
            arguments = ["connect", "--subs", str(IDLE_CONNECTIONS), "--conc", "64", "--hold", "2"]
            plain = generate(binary, arguments, node.ports["tcp"], node.process.pid)
        certificates = Path(name) / "certs"
        command = [sys.executable, "-m", "quantum.cli.main", "certs", str(certificates)]
        subprocess.run(command, check=True, capture_output=True)
        tls = tls_connections(Path(name) / "tls-data", certificates, IDLE_TLS_CONNECTIONS)
    return {
        "plain_bytes": plain.get("rss_per_conn_bytes"),
        "plain_goal_bytes": 6 * 1024,
        "tls_bytes": tls,
        "tls_goal_bytes": 24 * 1024,
    }


def build() -> Path:
    """The generator, compiled once per version of its source."""
    binary = HERE.parents[1] / "build" / "mqload"
    source = HERE / "mqload.c"
    if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
        binary.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cc", "-O2", "-o", str(binary), str(source)], check=True)
    return binary


def print_row(result: Result) -> None:
    """A line of the table, with what went wrong under it."""
    own, peer = result.rate(result.quantum), result.rate(result.mosquitto)
    cpu = [run["cpu_us_per_msg"] for run in result.quantum if run.get("ok") and run.get("cpu_us_per_msg")]
    met = "met" if result.ratio >= result.row.goal else "missed"
    compared = f"{result.ratio:5.2f}x  {result.row.goal:g}x {met}" if peer else "    -  no mosquitto"
    micros = f"{statistics.median(cpu):6.1f}" if cpu else "     -"
    print(f"{result.row.title:<28} {own:>11,.0f} {micros} {peer:>11,.0f}  {compared}", flush=True)
    for run in (*result.quantum, *result.mosquitto):
        if not run.get("ok"):
            print(f"    a run failed: {run.get('error')}")
    if result.faults:
        print(f"    {result.faults} messages lost, doubled or reordered by quantum")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rows", default="all", help="comma separated names, or all: " + ", ".join(r.name for r in ROWS)
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--peer-port", type=int, default=18101)
    parser.add_argument("--no-recovery", action="store_true")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--out", type=Path, help="write everything as JSON")
    arguments = parser.parse_args()
    if (os.cpu_count() or 1) < 2 or not shutil.which("taskset"):
        sys.exit("the speed table needs two CPUs and taskset: the broker and the generator must not share one")
    wanted = [row for row in ROWS if arguments.rows == "all" or row.name in arguments.rows.split(",")]
    binary = build()
    results = [Result(row) for row in wanted]
    for number in range(arguments.runs):
        for result in results:
            print(f"run {number + 1}: {result.row.title}", file=sys.stderr, flush=True)
            measure_row(result, binary, arguments.seconds, arguments.peer_port)
    print(f"{'messages delivered a second':<28} {'quantum':>11} {'us/msg':>6} {'mosquitto':>11}   ratio  goal")
    for result in results:
        print_row(result)
    report: dict[str, Any] = {
        "rows": [
            {
                "name": result.row.name,
                "quantum": result.rate(result.quantum),
                "mosquitto": result.rate(result.mosquitto),
                "ratio": round(result.ratio, 3),
                "goal": result.row.goal,
                "faults": result.faults,
                "runs": {"quantum": result.quantum, "mosquitto": result.mosquitto},
            }
            for result in results
        ]
    }
    if not arguments.no_recovery:
        recovery = report["recovery"] = measure_recovery(binary)
        print(
            f"recovery of {recovery['messages']:,} queued messages: {recovery['seconds']} s, goal {recovery['goal_s']} s"
        )
    if not arguments.no_memory:
        memory = report["memory"] = measure_memory(binary)
        print(f"memory per idle connection: plain {memory['plain_bytes']} bytes, goal {memory['plain_goal_bytes']}")
        print(f"memory per idle connection: TLS {memory['tls_bytes']} bytes, goal {memory['tls_goal_bytes']}")
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
