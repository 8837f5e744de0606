"""Goal: a corpus keeps what fuzzing found, and a target that looks at something wrong says so. Method: corpora in a folder of
the test's own, and what the targets drive replaced by something that is wrong on purpose."""

from pathlib import Path

import pytest

from quantum.core.mqtt.connection import Inbound, ServerConnection
from quantum.core.mqtt.errors import MqttError
from quantum.core.mqtt.framer import Framer
from quantum.io.websocket import WebSocketLayer
from tests.fuzz import corpus, fuzz_connection, fuzz_framer, fuzz_websocket
from tests.fuzz.run import merged, steps_of


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(corpus, "FOLDER", tmp_path)
    (tmp_path / "framer.txt").write_text("# Inputs.\n0a0b # why\n")
    return tmp_path


def test_what_is_added_is_read_again_and_nothing_twice(folder: Path) -> None:
    assert 2 == corpus.add_to_corpus("framer", [b"long one", b"", b"\x0a\x0b"])
    assert [b"\x0a\x0b", b"", b"long one"] == corpus.read_corpus("framer")
    assert (folder / "framer.txt").read_text().startswith("# Inputs.\n0a0b # why\n-\n")


@pytest.mark.usefixtures("small_heap")
def test_only_what_reaches_other_lines_is_kept_and_of_that_the_shortest(folder: Path, tmp_path: Path) -> None:
    found = tmp_path / "found"
    found.mkdir()
    known, fresh, longer = fuzz_framer.SEEDS[0], b"\x00\x30\xff\xff\xff\xff", b"\x00\x30\xff\xff\xff\xff\xff\xff"
    for number, data in enumerate((known, longer, fresh)):
        (found / str(number)).write_bytes(data)
    assert steps_of("framer", fresh) == steps_of("framer", longer)
    assert [fresh] == merged("framer", found)


class ForgetfulConnection:
    """Loses a packet of each three that come at once."""

    def __init__(self, packet_bytes_max: int, topic_alias_maximum: int) -> None:
        self._real = ServerConnection(packet_bytes_max, topic_alias_maximum)

    @property
    def failure(self) -> MqttError | None:
        return self._real.failure

    @property
    def is_stopped(self) -> bool:
        return self._real.is_stopped

    def receive(self, data: bytes) -> list[Inbound]:
        packets = self._real.receive(data)
        return packets[:2] if len(packets) == 3 else packets

    def hold(self, data: bytes) -> int:
        return self._real.hold(data)


class HastyFramer:
    """Gives a packet before it is whole."""

    def __init__(self, packet_bytes_max: int) -> None:
        self._real = Framer(packet_bytes_max)

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        return self._real.feed(data) or ([(0x30, b"")] if data == b"\x30" else [])


class DeafLayer(WebSocketLayer):  # type: ignore[misc]
    """Loses what comes in one piece with the upgrade."""

    def receive(self, data: bytes) -> bytes:
        was_open = self.is_open
        out = super().receive(data)
        return out if was_open else b""


@pytest.mark.parametrize(
    ("target", "name", "wrong"),
    [
        (fuzz_connection, "ServerConnection", ForgetfulConnection),
        (fuzz_framer, "Framer", HastyFramer),
        (fuzz_websocket, "WebSocketLayer", DeafLayer),
    ],
)
def test_a_target_sees_what_is_wrong(target: object, name: str, wrong: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, name, wrong)
    with pytest.raises(AssertionError):
        for data in target.SEEDS:  # type: ignore[attr-defined]
            target.check(data)  # type: ignore[attr-defined]
