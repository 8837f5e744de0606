"""Goal: whatever `quantum run` acknowledged is there after SIGKILL at any moment, QoS 2 exactly once, sessions resumed.

Method: real clients with persistent sessions publish and receive while the process is killed again and again on one data
directory; at the end everything that was acknowledged must have arrived, in order.
"""

import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

KILLS = 50
PUBLISHERS = 3
WINDOW = 20
DEADLINE_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(port: int, data_dir: Path) -> subprocess.Popen[str]:
    """A broker that said it serves."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "quantum.cli.main",
            "run",
            "--data-dir",
            str(data_dir),
            "--listen",
            f"tcp://127.0.0.1:{port}",
            "--http",
            "127.0.0.1:0",
            "--set",
            "durability.segment_bytes=4194304",
            "--set",
            "durability.snapshot_log_bytes=8388608",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("quantum ready"), (line, process.poll())
    return process


class Subscriber:
    """A persistent session that counts what it is given."""

    def __init__(self, name: str, port: int) -> None:
        self.received: list[str] = []
        self.resumed: list[bool] = []
        self.is_subscribed = threading.Event()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, name, clean_session=False)
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = lambda *_: self.is_subscribed.set()
        self.client.on_message = lambda _c, _u, message: self.received.append(message.payload.decode())
        self.client.reconnect_delay_set(1, 1)
        self.client._reconnect_on_failure = True
        self.client.connect("127.0.0.1", port, keepalive=30)
        self.client.loop_start()

    def _on_connect(self, client: mqtt.Client, _user: object, flags: mqtt.ConnectFlags, *_rest: object) -> None:
        self.resumed.append(flags.session_present)
        if not self.is_subscribed.is_set():
            client.subscribe([("kill/1/#", 1), ("kill/2/#", 2)])


class KeepsPubrel(mqtt.Client):
    """paho, less one of its faults: when two attempts to reconnect follow each other, it forgets that it has sent PUBREL
    and publishes the message anew, which no broker can tell from a new message. [MQTT-4.3.3-5]"""

    def _messages_reconnect_reset_out(self) -> None:
        released = [m for m in self._out_messages.values() if m.state == mqtt.mqtt_ms_resend_pubrel]
        super()._messages_reconnect_reset_out()
        for message in released:
            message.state = mqtt.mqtt_ms_resend_pubrel


class Publisher:
    """Publishes numbered messages at QoS 1 and 2 and remembers which were acknowledged."""

    def __init__(self, number: int, port: int) -> None:
        self.number = number
        self.acknowledged: set[str] = set()
        self.sent = 0
        self.is_stopping = threading.Event()
        self._room = threading.Semaphore(WINDOW)
        self._by_mid: dict[int, str] = {}
        self._early: set[int] = set()  # acknowledged before `publish` returned their identifier
        self._lock = threading.Lock()
        self.client = KeepsPubrel(mqtt.CallbackAPIVersion.VERSION2, f"publisher-{number}", clean_session=False)
        self.client.max_inflight_messages_set(WINDOW)
        self.client.on_publish = self._on_publish
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", port, keepalive=30)
        self.client.loop_start()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self.is_stopping.is_set():
            if not self._room.acquire(timeout=0.1):
                continue
            qos = 1 + self.sent % 2
            text = f"{self.number}:{qos}:{self.sent:07d}"
            info = self.client.publish(f"kill/{qos}/{self.number}", text, qos)
            with self._lock:
                if info.mid in self._early:
                    self._early.remove(info.mid)
                    self.acknowledged.add(text)
                else:
                    self._by_mid[info.mid] = text
            self.sent += 1

    def _on_publish(self, _client: mqtt.Client, _user: object, mid: int, *_rest: object) -> None:
        with self._lock:
            if mid in self._by_mid:
                self.acknowledged.add(self._by_mid.pop(mid))
            else:
                self._early.add(mid)
        self._room.release()

    def stop(self, deadline: float) -> None:
        """No new messages; wait until the broker acknowledged all."""
        self.is_stopping.set()
        self._thread.join()
        while self._by_mid and time.monotonic() < deadline:
            time.sleep(0.02)
        assert {} == self._by_mid


@pytest.mark.timeout(400)
def test_nothing_acknowledged_is_lost_over_fifty_kills(tmp_path: Path) -> None:
    chance = random.Random(7)
    port = free_port()
    process = start(port, tmp_path)
    subscribers = [Subscriber(f"subscriber-{number}", port) for number in range(2)]
    assert all(subscriber.is_subscribed.wait(10) for subscriber in subscribers)
    publishers = [Publisher(number, port) for number in range(PUBLISHERS)]
    try:
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.02, 1.6))
            process.send_signal(signal.SIGKILL)
            process.wait()
            process = start(port, tmp_path)
        deadline = time.monotonic() + DEADLINE_S
        for publisher in publishers:
            publisher.stop(deadline)
        acknowledged = set().union(*(publisher.acknowledged for publisher in publishers))
        for subscriber in subscribers:
            while len(acknowledged - set(subscriber.received)) and time.monotonic() < deadline:
                time.sleep(0.05)
    finally:
        for client in [*subscribers, *publishers]:
            client.client.loop_stop()
        process.terminate()
        status = process.wait(20)
    assert 0 == status
    assert len(acknowledged) > KILLS * 10
    for subscriber in subscribers:
        counts = Counter(subscriber.received)
        assert set() == acknowledged - set(counts)
        assert [] == [text for text, count in counts.items() if text.split(":")[1] == "2" and count != 1]
        assert all(subscriber.resumed[1:])
        assert len(subscriber.resumed) > KILLS // 4
        for number in range(PUBLISHERS):
            for qos in "12":
                first = list(dict.fromkeys(t for t in subscriber.received if t.startswith(f"{number}:{qos}:")))
                assert sorted(first) == first
