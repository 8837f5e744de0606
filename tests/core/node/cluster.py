"""Several nodes behind their doors, for tests: frames passed by hand, disks in memory, one clock that is moved."""

from dataclasses import replace

from quantum.core.mqtt.decode import decode_packet
from quantum.core.mqtt.encode import encode_packet
from quantum.core.mqtt.framer import Framer
from quantum.core.mqtt.packets import V5, Connack, Connect, Packet
from quantum.core.mqtt.properties import PropertyValue
from quantum.core.node.config import NodeConfig
from quantum.core.node.inputs import TCP, Accepted, AdminRequest, Inputs
from quantum.core.node.node import PARTITION, Node
from quantum.core.node.outputs import AdminReply, Outputs
from quantum.core.node.storage import Identity, StorageConfig
from quantum.core.prng import Prng
from quantum.core.raft.role import LEADER
from tests.core.node.door import Disk

STORAGE = StorageConfig(segment_bytes=1 << 20, snapshot_log_bytes=1 << 22)


class Member:
    """One node of a cluster."""

    def __init__(self, number: int, config: NodeConfig) -> None:
        self.number = number
        self.config = config
        self.disk = Disk()
        self.inputs = Inputs()
        self.out = Outputs()
        self.node: Node | None = None
        self.starts = 0
        self.written: dict[int, bytes] = {}
        self.closed: list[int] = []
        self.replies: list[AdminReply] = []
        self.failure = ""

    @property
    def up(self) -> Node:
        assert self.node is not None
        return self.node


class Cluster:
    """`cut` holds links, as (from, to); `run` gives turns until nothing is due, `pass_time` moves the clock."""

    def __init__(self, numbers: tuple[int, ...] = (1, 2, 3), storage: StorageConfig = STORAGE) -> None:
        self.numbers = numbers
        self.storage = storage
        self.members: dict[int, Member] = {}
        self.cut: set[tuple[int, int]] = set()
        self.drop_share = 0  # of 100 frames, how many are lost
        self.chance = Prng(1)
        self.now_ms = 1_000
        self.versions: dict[int, int] = {}
        self._conn_id = 0
        for number in numbers:
            self.add(number)
        for number in numbers:
            self.start(number)
        self.pass_time(4_000)

    def add(self, number: int) -> Member:
        """A machine with an empty disk; its node is not started."""
        config = NodeConfig(
            Identity("cluster", f"node-{number}"),
            storage=replace(self.storage),
            node_number=number,
            voters=self.numbers,
        )
        member = self.members[number] = Member(number, config)
        return member

    def start(self, number: int) -> None:
        """A new process."""
        member = self.members[number]
        member.starts += 1
        member.node = Node(member.config, number * 1000 + member.starts)
        member.inputs = Inputs()

    def kill(self, number: int) -> None:
        """The process is gone; its disk has what was written."""
        self.members[number].node = None

    def leader(self) -> int:
        """The node that leads in the greatest term."""
        leading = []
        for number, member in self.members.items():
            if member.node is not None:
                group = member.node.storage.groups[PARTITION]
                if group.role == LEADER:
                    leading.append((group.term, number))
        return max(leading)[1] if leading else 0

    def turn(self, member: Member) -> bool:
        """One turn of one node; True when another is due at once."""
        inputs, out = member.inputs, member.out
        inputs.now_ms = self.now_ms
        inputs.wall_ms = 1_700_000_000_000 + self.now_ms
        out.clear()
        member.up.turn(inputs, out)
        inputs.clear()
        for conn_id, data in out.writes:
            member.written[conn_id] = member.written.get(conn_id, b"") + data
        for conn_id in out.closes:
            member.closed.append(conn_id)
            inputs.closed.append((conn_id, "closed by the server"))
        member.replies += out.admin
        member.failure = out.failure
        inputs.disk_done = [member.disk.answer(request) for request in out.disk]
        for to, frame in out.peer_frames:
            receiver = self.members.get(to)
            is_lost = (member.number, to) in self.cut or self.chance.below(100) < self.drop_share
            if receiver is not None and receiver.node is not None and not is_lost:
                receiver.inputs.peer_frames.append(frame)
        return bool(inputs.disk_done or inputs.closed or 0 < out.deadline_ms <= self.now_ms)

    def run(self) -> None:
        """Turns until nothing is due."""
        for _ in range(5_000):
            is_due = False
            for member in self.members.values():
                if member.node is not None:
                    is_due = self.turn(member) or is_due
            if not is_due and not any(member.inputs.peer_frames for member in self.members.values()):
                return
        raise AssertionError("the cluster never comes to rest")

    def pass_time(self, ms: int) -> None:
        """Move the clock, stopping at every deadline on the way."""
        end_ms = self.now_ms + ms
        while True:
            self.run()
            up = [member for member in self.members.values() if member.node is not None]
            due_ms = min([member.out.deadline_ms for member in up if member.out.deadline_ms], default=0)
            if not due_ms or due_ms > end_ms:
                break
            self.now_ms = max(due_ms, self.now_ms + 1)
        self.now_ms = end_ms
        self.run()

    # -- clients ----------------------------------------------------------------------------------------------------

    def connect(self, number: int, client_id: str, version: int = V5, expiry_s: int = 0, clean: bool = True) -> int:
        """A connection of a client at a node; its CONNACK is still to be taken."""
        self._conn_id += 1
        conn_id = self._conn_id
        member = self.members[number]
        member.inputs.accepted.append(Accepted(conn_id, "tcp://127.0.0.1:1883", TCP, f"127.0.0.1:{50_000 + conn_id}"))
        self.versions[conn_id] = version
        properties: dict[int, PropertyValue] = {17: expiry_s} if version == V5 and expiry_s else {}
        self.send(number, conn_id, Connect(version, client_id, clean, 0, properties=properties))
        return conn_id

    def connected(self, number: int, client_id: str, expiry_s: int = 0, clean: bool = True) -> tuple[int, bool]:
        """A connection with an open session, and whether the session was there before."""
        conn_id = self.connect(number, client_id, V5, expiry_s, clean)
        (connack, *self.rest) = self.take(number, conn_id)
        assert isinstance(connack, Connack)
        assert 0 == connack.reason_code
        return conn_id, connack.session_present

    def send(self, number: int, conn_id: int, *packets: Packet) -> None:
        """Packets from a client, in one piece."""
        data = b"".join(encode_packet(self.versions[conn_id], packet) for packet in packets)
        self.members[number].inputs.received.append((conn_id, data))
        self.run()

    def take(self, number: int, conn_id: int) -> list[Packet]:
        """The packets written to a connection since the last look."""
        frames = Framer(1 << 28).feed(self.members[number].written.pop(conn_id, b""))
        return [decode_packet(self.versions[conn_id], first, body) for first, body in frames]

    def ask(self, number: int, method: str, path: str, **query: str) -> AdminReply:
        """A question of an operator to one node."""
        member = self.members[number]
        member.inputs.admin.append(AdminRequest(1, method, path, query))
        self.run()
        return member.replies.pop()

    # -- states -----------------------------------------------------------------------------------------------------

    def digests(self) -> set[bytes]:
        """The replicated states of all nodes that are up."""
        return {member.node.partition.digest() for member in self.members.values() if member.node is not None}

    def applied(self) -> list[int]:
        """How far each node that is up has applied the log."""
        return [m.node.storage.groups[PARTITION].applied_index for m in self.members.values() if m.node is not None]
