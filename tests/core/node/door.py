"""A node behind its door, for tests: a disk in memory that answers when it is told to, and connections by number."""

from quantum.core.broker.commands import SetPolicy
from quantum.core.edge.config import EdgeConfig
from quantum.core.events import Event
from quantum.core.mqtt.decode import decode_packet
from quantum.core.mqtt.encode import encode_packet
from quantum.core.mqtt.framer import Framer
from quantum.core.mqtt.packets import V5, V311, Connack, Connect, Packet
from quantum.core.node.config import NodeConfig, default_policy
from quantum.core.node.inputs import TCP, Accepted, AdminRequest, Inputs
from quantum.core.node.node import Node
from quantum.core.node.outputs import AdminReply, Outputs
from quantum.core.node.storage import Identity, StorageConfig
from quantum.core.wal.requests import (
    AppendLog,
    CreateFile,
    DeleteFiles,
    DiskDone,
    DiskRequest,
    ListFiles,
    ReadFile,
    WriteFile,
)


class Disk:
    """Files in memory; `answer` carries requests out, in the order in which they came."""

    def __init__(self) -> None:
        self.files: dict[str, bytearray] = {}
        self.error = ""  # what every write fails with from now on
        self.unreadable = ""  # a file that cannot be read

    def answer(self, request: DiskRequest) -> DiskDone:
        if isinstance(request, ListFiles):
            return DiskDone(request.number, files=sorted((name, len(data)) for name, data in self.files.items()))
        if isinstance(request, ReadFile):
            if request.name == self.unreadable:
                return DiskDone(request.number, "EIO")
            data = bytes(self.files[request.name][request.offset : request.offset + request.size])
            return DiskDone(request.number, data=data)
        if self.error:
            return DiskDone(request.number, self.error)
        if isinstance(request, AppendLog):
            self.files[request.name][request.offset : request.offset + len(request.data)] = request.data
        elif isinstance(request, CreateFile):
            self.files[request.name] = bytearray(request.size)
        elif isinstance(request, WriteFile):
            self.files[request.name] = bytearray(request.data)
        else:
            assert isinstance(request, DeleteFiles)
            for name in request.names:
                self.files.pop(name, None)
        return DiskDone(request.number)


class Door:
    """Drives turns. `hold_disk` keeps completions back; time stands still unless it is moved."""

    def __init__(
        self, disk: Disk | None = None, edge: EdgeConfig | None = None, policy: SetPolicy | None = None
    ) -> None:
        self.disk = disk or Disk()
        storage = StorageConfig(segment_bytes=1 << 20, snapshot_log_bytes=1 << 22)
        identity = Identity("cluster", "node")
        config = NodeConfig(identity, edge or EdgeConfig(), policy or default_policy(), storage)
        self.node = Node(config, 1)
        self.inputs = Inputs(now_ms=1_000, wall_ms=1_700_000_000_000)
        self.out = Outputs()
        self.hold_disk = False
        self.held: list[DiskRequest] = []
        self.written: dict[int, bytes] = {}
        self.closed: list[int] = []
        self.paused: set[int] = set()  # connections that are not to be read; `send` sends all the same
        self.events: list[Event] = []
        self.replies: list[AdminReply] = []
        self.failure = ""
        self.versions: dict[int, int] = {}
        self._conn_id = 0
        self.run()

    def turn(self) -> bool:
        """One turn; True when another is due at once."""
        inputs = self.inputs
        self.out.clear()
        self.node.turn(inputs, self.out)
        inputs.clear()
        out = self.out
        for conn_id, data in out.writes:
            self.written[conn_id] = self.written.get(conn_id, b"") + data
        for conn_id in out.closes:
            self.closed.append(conn_id)
            inputs.closed.append((conn_id, "closed by the server"))
        self.paused = (self.paused | set(out.pauses)) - set(out.resumes)
        self.events += out.events
        self.replies += out.admin
        self.failure = out.failure
        self.held += out.disk
        if not self.hold_disk:
            inputs.disk_done = [self.disk.answer(request) for request in self.held]
            self.held = []
        return bool(inputs.disk_done or inputs.closed or 0 < out.deadline_ms <= inputs.now_ms)

    def run(self) -> None:
        """Turns until nothing is due."""
        for _ in range(10_000):
            if not self.turn():
                return
        raise AssertionError("the node never comes to rest")

    def release_disk(self) -> None:
        """Answer all held requests, and go on."""
        self.hold_disk = False
        self.inputs.disk_done = [self.disk.answer(request) for request in self.held]
        self.held = []
        self.run()

    def pass_time(self, ms: int) -> None:
        """Move both clocks, stopping at every deadline on the way."""
        end_ms = self.inputs.now_ms + ms
        while True:
            self.run()
            due_ms = self.out.deadline_ms
            if not due_ms or due_ms > end_ms:
                break
            self.inputs.wall_ms += due_ms - self.inputs.now_ms
            self.inputs.now_ms = due_ms
        self.inputs.wall_ms += end_ms - self.inputs.now_ms
        self.inputs.now_ms = end_ms
        self.run()

    def open(self, certificate_name: str = "") -> int:
        """A new connection without a byte."""
        self._conn_id += 1
        peer = f"127.0.0.1:{50000 + self._conn_id}"
        self.inputs.accepted.append(Accepted(self._conn_id, "tcp://127.0.0.1:1883", TCP, peer, certificate_name))
        self.run()
        return self._conn_id

    def send(self, conn_id: int, data: bytes) -> None:
        """Bytes from the client."""
        self.inputs.received.append((conn_id, data))
        self.run()

    def send_packet(self, conn_id: int, *packets: Packet) -> None:
        """Packets from the client, in one piece."""
        version = self.versions[conn_id]
        self.send(conn_id, b"".join(encode_packet(version, packet) for packet in packets))

    def cut(self, conn_id: int) -> None:
        """The transport breaks."""
        self.inputs.closed.append((conn_id, "reset"))
        self.run()

    def connect(
        self,
        client_id: str,
        version: int = V5,
        clean_start: bool = True,
        expiry_s: int = 0,
        keep_alive_s: int = 0,
        **fields: object,
    ) -> int:
        """A connection with an open session."""
        conn_id = self.open()
        properties = {17: expiry_s} if version == V5 and expiry_s else {}
        properties.update(fields.pop("properties", {}))  # type: ignore[call-overload]
        packet = Connect(version, client_id, clean_start, keep_alive_s, properties=properties, **fields)  # type: ignore[arg-type]
        self.versions[conn_id] = version
        self.send_packet(conn_id, packet)
        return conn_id

    def take(self, conn_id: int) -> list[Packet]:
        """The packets written to a connection since the last look."""
        frames = Framer(1 << 28).feed(self.written.pop(conn_id, b""))
        return [decode_packet(self.versions.get(conn_id, V311), first, body) for first, body in frames]

    def connected(self, client_id: str, **options: object) -> tuple[int, Connack]:
        """Connect, and the CONNACK."""
        conn_id = self.connect(client_id, **options)  # type: ignore[arg-type]
        packets = self.take(conn_id)
        assert isinstance(packets[0], Connack), packets
        assert 0 == packets[0].reason_code
        assert len(packets) == 1 or packets[0].session_present
        self.rest = packets[1:]
        return conn_id, packets[0]

    def ask(self, path: str) -> AdminReply:
        """A question of an operator."""
        self.inputs.admin.append(AdminRequest(1, "GET", path))
        self.run()
        return self.replies.pop()
