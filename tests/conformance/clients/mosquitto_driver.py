"""mosquitto_pub and mosquitto_sub, as processes."""

import queue
import subprocess
import threading
from collections.abc import Mapping

from tests.conformance.clients.client import WAIT_S, Inbox, Message, Opening

VERSIONS = {"3.1": "mqttv31", "3.1.1": "mqttv311", "5.0": "mqttv5"}
MARK = "message|"  # begins the line of a message; any other line is what -d prints


class MosquittoClient:
    """A mosquitto_sub that runs while the client is open, and a mosquitto_pub for each message."""

    def __init__(self, kept_filters: dict[str, tuple[str, int]], opening: Opening) -> None:
        self._opening = opening
        self._kept_filters = kept_filters
        self._inbox = Inbox()
        self._granted: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._process: subprocess.Popen[bytes] | None = None

    def open(self, topic_filter: str = "", qos: int = 0) -> bool | None:
        """mosquitto_sub does not connect without a filter: it gets the one it had, or one where nothing is published."""
        client_id = self._opening.client_id
        if not topic_filter:
            topic_filter, qos = self._kept_filters.get(client_id, (f"nothing/{client_id}", 0))
        if self._opening.is_kept:
            self._kept_filters[client_id] = (topic_filter, qos)
        command = ["stdbuf", "-oL", "mosquitto_sub", "-d", *self._where(), *self._session(), "-i", client_id]
        command += ["-t", topic_filter, "-q", str(qos), "-F", f"{MARK}%t|%q|%r|%x"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()
        assert qos == self._granted.get(timeout=WAIT_S)
        return None

    def publish(self, topic_name: str, payload: bytes, qos: int, retain: bool = False) -> None:
        command = ["mosquitto_pub", *self._where(), "-t", topic_name, "-q", str(qos), *(["-r"] if retain else [])]
        command += ["-s"] if payload else ["-n"]
        done = subprocess.run(command, input=payload, capture_output=True, timeout=WAIT_S, check=False)
        assert 0 == done.returncode, done.stderr.decode()

    def next_message(self) -> Message:
        return self._inbox.next()

    def disconnect(self) -> None:
        assert self._process is not None
        self._process.terminate()
        assert 0 == self._process.wait(WAIT_S)

    def cut(self) -> None:
        assert self._process is not None
        self._process.kill()

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(WAIT_S)

    def _where(self) -> list[str]:
        options = ["-h", "127.0.0.1", "-p", str(self._opening.port), "-V", VERSIONS[self._opening.version]]
        folder = self._opening.certificates
        if folder is not None:
            options += ["--cafile", f"{folder}/ca.crt", "--cert", f"{folder}/client.crt"]
            options += ["--key", f"{folder}/client.key"]
        return options

    def _session(self) -> list[str]:
        """`-c` of 5.0 keeps the session for ever."""
        options = ["-c"] if self._opening.is_kept else []
        will = self._opening.will
        if will is not None:
            options += ["--will-topic", will.topic_name, "--will-payload", will.payload.decode()]
            options += ["--will-qos", str(will.qos)]
        return options

    def _read(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                text = line.decode().rstrip("\n")
                if text.startswith(MARK):
                    topic_name, qos, retain, payload = text.removeprefix(MARK).split("|")
                    self._inbox.put(Message(topic_name, bytes.fromhex(payload), int(qos), retain == "1"))
                elif text.startswith("Subscribed (mid: "):
                    self._granted.put(int(text.rpartition(": ")[2]))


class MosquittoDriver:
    """The programs of Debian's mosquitto-clients."""

    name = "mosquitto clients"
    leaves_with_will: tuple[str, ...] = ("5.0",)  # a terminated mosquitto_sub asks for its Will
    lacks: Mapping[tuple[str, str], str] = {
        ("", "publishes on"): "mosquitto_pub ends where it cannot connect",
        ("", "websocket"): "mosquitto_pub and mosquitto_sub 2.0 have no WebSocket transport",
    }

    def __init__(self) -> None:
        self._kept_filters: dict[str, tuple[str, int]] = {}

    def client(self, opening: Opening) -> MosquittoClient:
        return MosquittoClient(self._kept_filters, opening)

    def close(self) -> None:
        """Its clients share nothing that runs."""
