"""Goal: `quantum publish` and `quantum subscribe` keep what they promise against a real broker. Method: the commands as
a user types them, over every transport, and over a broker that is killed in between."""

import json
import os
import subprocess
import sys
import threading

import pytest

from tests.conformance.broker_process import BrokerProcess
from tests.conformance.conftest import Certificates

QUANTUM = [sys.executable, "-m", "quantum.cli.main"]


def quantum(*arguments: str, stdin: str = "", expected: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; it must end as expected."""
    done = subprocess.run([*QUANTUM, *arguments], input=stdin, capture_output=True, text=True, timeout=40, check=False)
    assert expected == done.returncode, done.stderr
    return done


def where(broker: BrokerProcess, certificates: Certificates, scheme: str) -> list[str]:
    """The options that name a listener."""
    options = ["--url", f"{scheme}://127.0.0.1:{broker.ports[scheme]}"]
    if scheme == "tls":
        folder = certificates.folder
        options += ["--ca", f"{folder}/ca.crt", "--cert", f"{folder}/client.crt", "--key", f"{folder}/client.key"]
    return options


def rows(text: str) -> list[tuple[str, str, int]]:
    """Topic, payload and QoS of lines of JSON."""
    parsed = [json.loads(line) for line in text.splitlines()]
    return [(row["topic"], row["payload"], row["qos"]) for row in parsed]


@pytest.mark.parametrize("scheme", ["tcp", "tls", "ws"])
@pytest.mark.parametrize("level", ["3", "4", "5"])
def test_lines_wait_in_a_session_and_come_in_order(
    broker: BrokerProcess, certificates: Certificates, name: str, scheme: str, level: str
) -> None:
    there = [*where(broker, certificates, scheme), "--v", level]
    session = ["subscribe", f"{name}/#", "--client-id", f"{name}-s", "--no-clean", "-q", "2", *there]
    subscriber = subprocess.Popen([*QUANTUM, *session], stderr=subprocess.PIPE, text=True)
    assert subscriber.stderr is not None
    assert "subscribed" in subscriber.stderr.readline()
    subscriber.terminate()
    assert 0 == subscriber.wait(10)
    lines = "".join(f"{name}/{number % 3}:{number}\n" for number in range(30))
    quantum("publish", "--delimiter", ":", "-q", "2", *there, stdin=lines)
    got = quantum(*session, "--count", "30")
    assert [(f"{name}/{number % 3}", str(number), 2) for number in range(30)] == rows(got.stdout)


def test_publisher_goes_on_over_a_killed_broker(own_broker: BrokerProcess, name: str) -> None:
    port = str(own_broker.ports["tcp"])
    session = ["subscribe", name, "--client-id", "reader", "--no-clean", "-q", "1", "--port", port]
    subscriber = subprocess.Popen([*QUANTUM, *session], stderr=subprocess.PIPE, text=True)
    assert subscriber.stderr is not None
    assert "subscribed" in subscriber.stderr.readline()
    subscriber.terminate()
    subscriber.wait(10)
    read_end, write_end = os.pipe()
    publisher = subprocess.Popen(
        [*QUANTUM, "publish", name, "--client-id", "writer", "--no-clean", "--port", port], stdin=read_end
    )
    os.close(read_end)
    with os.fdopen(write_end, "w") as lines:
        lines.writelines(f"{number}\n" for number in range(500))
        lines.flush()
        own_broker.kill()
        lines.writelines(f"{number}\n" for number in range(500, 1000))
    restart = threading.Thread(target=own_broker.start)
    restart.start()
    assert 0 == publisher.wait(40)
    restart.join()
    got = subprocess.Popen([*QUANTUM, *session], stdout=subprocess.PIPE, text=True)
    assert got.stdout is not None
    seen: list[int] = []
    while len(set(seen)) < 1000:
        seen.append(int(json.loads(got.stdout.readline())["payload"]))
    got.terminate()
    got.communicate(timeout=20)  # it may be writing repetitions, which somebody must read
    # At least once, and in the order of sending but for repetitions.
    assert list(range(1000)) == list(dict.fromkeys(seen))


def test_wrong_ca_ends_with_an_error(broker: BrokerProcess, certificates: Certificates) -> None:
    url = f"tls://127.0.0.1:{broker.ports['tls']}"
    assert "TLS failed" in quantum("publish", "t", "m", "--url", url, "--give-up", "5", expected=1).stderr
    without = ["publish", "t", "m", "--url", url, "--ca", f"{certificates.folder}/ca.crt", "--give-up", "5"]
    assert "certificate required" in quantum(*without, expected=1).stderr


def test_bench_counts_every_message(broker: BrokerProcess) -> None:
    for pattern in ("pairs", "fan-in", "fan-out"):
        url = f"tcp://127.0.0.1:{broker.ports['tcp']}"
        done = quantum("bench", "--url", url, "--pattern", pattern, "-n", "3", "-d", "0.3", "-q", "2", "--json")
        result = json.loads(done.stdout)
        assert (0, 0) == (result["missing"], result["duplicates"])
        assert result["sent"] == result["acknowledged"] > 0
