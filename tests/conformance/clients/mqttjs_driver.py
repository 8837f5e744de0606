"""MQTT.js: one node process for all clients, driven through `mqttjs/bridge.js`."""

import base64
import fcntl
import json
import queue
import subprocess
import threading
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from tests.conformance.clients.client import EXPIRY_S, KEEP_ALIVE_S, WAIT_S, Inbox, Message, Opening

FOLDER = Path(__file__).parent / "mqttjs"
INSTALL_S = 45  # two test processes may wait for it one behind the other, within one test's time
LEVELS = {"3.1": ("MQIsdp", 3), "3.1.1": ("MQTT", 4), "5.0": ("MQTT", 5)}
SCHEMES = {"tcp": "mqtt", "tls": "mqtts", "ws": "ws"}


def install() -> str:
    """Install exactly what package-lock.json says beside it; "" when it is there, else why not."""
    lock = FOLDER / "package-lock.json"
    stamp = FOLDER / "node_modules" / ".installed"
    with lock.open() as guard:  # two test processes install once
        fcntl.flock(guard, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == lock.read_text():
            return ""
        try:
            done = subprocess.run(
                ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"],
                cwd=FOLDER,
                capture_output=True,
                text=True,
                timeout=INSTALL_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"npm ci did not end within {INSTALL_S} s"
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.lower().startswith(("npm error", "npm err!"))]
            return "npm ci failed: " + next(iter(errors), "without a word")
        stamp.write_text(lock.read_text())
    return ""


class Bridge:
    """The node process: commands in, answers and events out."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["node", "bridge.js"], cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._numbers = count(1)
        self._answers: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        self.inboxes: dict[str, Inbox] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def ask(self, command: str, **fields: object) -> Any:
        """The answer's value."""
        number = next(self._numbers)
        answer: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._answers[number] = answer
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"number": number, "command": command, **fields}) + "\n")
        self._process.stdin.flush()
        try:
            line = answer.get(timeout=WAIT_S)
        except queue.Empty:
            raise AssertionError(f"MQTT.js: no answer to {command} within {WAIT_S} s") from None
        assert line["error"] is None, line["error"]
        return line["value"]

    def close(self) -> None:
        self._process.kill()
        self._process.wait(WAIT_S)
        self._reader.join(WAIT_S)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            if "answer" in said:
                # An error may come behind an answer, of a client that was cut.
                waiting = self._answers.pop(said["answer"], None)
                if waiting is not None:
                    waiting.put(said)
            elif said["event"] == "message":
                payload = base64.b64decode(said["payload"])
                self.inboxes[said["client"]].put(Message(said["topic"], payload, said["qos"], said["retain"]))


class MqttJsClient:
    """One client of the node process."""

    def __init__(self, bridge: Bridge, name: str, opening: Opening) -> None:
        self._bridge = bridge
        self._name = name
        self._opening = opening
        self._inbox = bridge.inboxes[name] = Inbox()
        self._is_open = False

    def open(self, topic_filter: str = "", qos: int = 0) -> bool | None:
        opening = self._opening
        protocol_id, level = LEVELS[opening.version]
        options: dict[str, object] = {
            "clientId": opening.client_id,
            "protocolId": protocol_id,
            "protocolVersion": level,
            "clean": not opening.is_kept,
            "keepalive": KEEP_ALIVE_S,
            "reconnectPeriod": 200 if opening.is_returning else 0,
            "resubscribe": False,
        }
        if level == 5:
            options["properties"] = {"sessionExpiryInterval": EXPIRY_S if opening.is_kept else 0}
        if opening.will is not None:
            will = opening.will
            payload = base64.b64encode(will.payload).decode()
            options["will"] = {"topic": will.topic_name, "payload": payload, "qos": will.qos, "retain": will.retain}
        if opening.certificates is not None:
            for option, file in (("ca", "ca.crt"), ("cert", "client.crt"), ("key", "client.key")):
                options[option] = str(opening.certificates / file)
        url = f"{SCHEMES[opening.scheme]}://127.0.0.1:{opening.port}" + ("/mqtt" if opening.scheme == "ws" else "")
        is_present = self._bridge.ask("open", client=self._name, url=url, options=options)
        self._is_open = True
        if topic_filter:
            assert qos == self._bridge.ask("subscribe", client=self._name, filter=topic_filter, qos=qos)
        assert isinstance(is_present, bool)
        return None if opening.version == "3.1" else is_present  # CONNACK of 3.1 has no Session Present

    def publish(self, topic_name: str, payload: bytes, qos: int, retain: bool = False) -> None:
        encoded = base64.b64encode(payload).decode()
        fields = {"client": self._name, "topic": topic_name, "payload": encoded, "qos": qos, "retain": retain}
        self._bridge.ask("publish", **fields)

    def next_message(self) -> Message:
        return self._inbox.next()

    def disconnect(self) -> None:
        self._bridge.ask("disconnect", client=self._name)
        self._is_open = False

    def cut(self) -> None:
        self._bridge.ask("cut", client=self._name)

    def close(self) -> None:
        if self._is_open:
            self._bridge.ask("close", client=self._name)


class MqttJsDriver:
    """MQTT.js has everything."""

    name = "MQTT.js"
    leaves_with_will: tuple[str, ...] = ()
    lacks: Mapping[tuple[str, str], str] = {}

    def __init__(self) -> None:
        self._bridge = Bridge()
        self._numbers = count(1)

    def client(self, opening: Opening) -> MqttJsClient:
        return MqttJsClient(self._bridge, f"client-{next(self._numbers)}", opening)

    def close(self) -> None:
        self._bridge.close()
