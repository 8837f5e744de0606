"""Writes the history of a run of the full world: who sent what to whom, what was synced, what follows from what.

Nothing of the run depends on it. The causes of what a process does in a turn are what it was given in that turn, and
the last thing that happened on its lane. Source: history.py.
"""

from typing import Final, final

from quantum.core.node.outputs import Outputs
from quantum.core.node.peer_frames import RAFT, PeerCodec, PeerFrame
from quantum.core.raft.messages import AppendEntries, AppendEntriesReply
from quantum.core.raft.wire import MessageDamaged, decode_message
from quantum.sim import history as kinds
from quantum.sim import inside
from quantum.sim.history import PACKET_TO_CLIENT, PACKET_TO_NODE, History, client_lane
from quantum.sim.host import Host
from quantum.sim.packet_scan import PacketScan

CAUSES_MAX: Final = 8  # of one event: more than anybody follows on a picture
CLUSTER: Final = "sim"

_ITEM_NAMES: Final = (
    "",
    "raft",
    "forward",
    "forward-state",
    "ephemeral",
    "snapshot-offer",
    "snapshot-want",
    "snapshot-piece",
    "snapshot-end",
)


@final
class _Lane:
    """What is known of one node."""

    __slots__ = ("applied", "commit", "durable", "fsyncs", "given", "last", "role", "term")

    def __init__(self) -> None:
        self.last = 0  # the last event on the lane
        self.given: list[int] = []  # inputs since the last turn
        self.fsyncs: dict[int, int] = {}  # request → its FSYNC_BEGIN
        self.role = 0
        self.term = 0
        self.commit = 0
        self.applied = 0
        self.durable = 0


@final
class Scribe:
    """One history being written."""

    __slots__ = ("_history", "_lanes", "_scans", "now_us")

    def __init__(self, history: History) -> None:
        self._history = history
        self._lanes: dict[int, _Lane] = {}
        self._scans: dict[tuple[int, int], PacketScan] = {}
        self.now_us = 0

    def _lane(self, node: int) -> _Lane:
        found = self._lanes.get(node)
        if found is None:
            found = self._lanes[node] = _Lane()
        return found

    def _add(self, node: int, kind: int, text: str, causes: tuple[int, ...] = (), a: int = 0, b: int = 0) -> int:
        number = self._history.add(self.now_us, node, kind, text, causes, a, b)
        if node:
            self._lane(node).last = number
        return number

    # -- processes ------------------------------------------------------------------------------------------------

    def on_start(self, node: int, incarnation: int) -> None:
        """A process begins."""
        before = self._lane(node).last
        self._lanes[node] = _Lane()
        self._add(node, kinds.START, f"process {incarnation}", (before,), incarnation)

    def on_kill(self, node: int, why: str) -> None:
        """A process ends and its machine runs on."""
        self._add(node, kinds.KILL, why)

    def on_power(self, node: int, model: str, unsynced: int, lost: int) -> None:
        """A machine stops."""
        self._add(node, kinds.POWER, f"power loss, {model}: {lost} of {unsynced} sectors lost", (), lost, unsynced)

    def on_fault(self, node: int, text: str) -> None:
        """The nemesis acts."""
        self._history.add(self.now_us, node, kinds.FAULT, text, (), 1)

    def on_note(self, node: int, text: str) -> None:
        """Something a reader wants to know."""
        self._add(node, kinds.NOTE, text)

    def on_turn(self, host: Host, out: Outputs) -> None:
        """What a turn tells operators, and the numbers of its replica."""
        for event in out.events:
            fields = " ".join(f"{name}={value}" for name, value in event.fields.items())
            self.on_note(host.number, f"{event.name} {fields}".rstrip())
        if host.node is not None and inside.is_started(host.node):
            self.on_state(host.number, *inside.plain_numbers(host.node))

    def on_state(self, node: int, role: int, term: int, commit: int, applied: int, durable: int) -> None:
        """The plain numbers of a replica after a turn."""
        lane = self._lane(node)
        causes = self._turn_causes(lane)
        if role != lane.role or term != lane.term:
            lane.role = role
            lane.term = term
            self._add(node, kinds.ROLE, f"{kinds.ROLE_NAMES[role]} in term {term}", causes, role, term)
        if durable != lane.durable:
            lane.durable = durable
            self._add(node, kinds.DURABLE, f"durable {durable}", causes, durable)
        if commit != lane.commit:
            lane.commit = commit
            self._add(node, kinds.COMMIT, f"commit {commit}", causes, commit)
        if applied != lane.applied:
            lane.applied = applied
            self._add(node, kinds.APPLY, f"applied {applied}", causes, applied)

    def end_turn(self, node: int) -> None:
        """What was given to this turn has led to what it led to."""
        self._lane(node).given = []

    def _turn_causes(self, lane: _Lane) -> tuple[int, ...]:
        given = lane.given[-CAUSES_MAX:]
        return tuple(given) if lane.last in given else (*given, lane.last)

    # -- frames ---------------------------------------------------------------------------------------------------

    def on_sent(self, node: int, to: int, data: bytes) -> int:
        """A frame leaves; returns its number."""
        return self._add(node, kinds.SEND, frame_text(data, to), self._turn_causes(self._lane(node)), to)

    def on_delivered(self, sender: int, node: int, sent: int) -> None:
        """A frame arrives at a process."""
        number = self._add(node, kinds.DELIVER, f"from node {sender}", (sent,), sender)
        self._lane(node).given.append(number)

    def on_dropped(self, sender: int, node: int, sent: int, why: str) -> None:
        """A frame does not arrive."""
        self._history.add(self.now_us, node, kinds.DROP, why, (sent,), sender)

    # -- disks ----------------------------------------------------------------------------------------------------

    def on_request(self, node: int, number: int, text: str) -> None:
        """A request goes to the disk."""
        lane = self._lane(node)
        lane.fsyncs[number] = self._add(node, kinds.FSYNC_BEGIN, text, self._turn_causes(lane), number)

    def on_done(self, node: int, number: int, error: str) -> None:
        """A request has ended."""
        lane = self._lane(node)
        begun = lane.fsyncs.pop(number, 0)
        ended = self._add(node, kinds.FSYNC_END, error or "done", (begun,), number, 1 if error else 0)
        lane.given.append(ended)

    # -- clients --------------------------------------------------------------------------------------------------

    def on_client(self, client: int, text: str, node: int = 0) -> None:
        """A client's connection begins or ends."""
        self._history.add(self.now_us, client_lane(client), kinds.CLIENT, text, (), node)

    def on_bytes_to_node(self, client: int, link: int, node: int, data: bytes) -> None:
        """Bytes of a client reach a node."""
        for text, packet_id in self._scan(link, PACKET_TO_NODE).feed(data):
            number = self._history.add(
                self.now_us, client_lane(client), kinds.PACKET, text, (), packet_id, PACKET_TO_NODE
            )
            self._lane(node).given.append(number)

    def on_bytes_to_client(self, client: int, link: int, node: int, data: bytes) -> None:
        """Bytes of a node reach a client."""
        last = self._lane(node).last
        scan = self._scan(link, PACKET_TO_CLIENT)
        scan.version = self._scan(link, PACKET_TO_NODE).version
        for text, packet_id in scan.feed(data):
            self._history.add(
                self.now_us, client_lane(client), kinds.PACKET, text, (last,), packet_id, PACKET_TO_CLIENT
            )

    def _scan(self, link: int, direction: int) -> PacketScan:
        found = self._scans.get((link, direction))
        if found is None:
            found = self._scans[link, direction] = PacketScan()
        return found

    # -- the verdict ----------------------------------------------------------------------------------------------

    def on_violation(self, law: str, first: str, second: str) -> None:
        """The run ends here."""
        lasts = tuple(lane.last for lane in self._lanes.values())
        self._history.add(self.now_us, 0, kinds.VIOLATION, f"{law}: {first}; {second}", lasts)


def frame_text(data: bytes, to: int) -> str:
    """What a frame says, in one line."""
    frame = PeerCodec(CLUSTER, to, 0).decode(data)
    if not isinstance(frame, PeerFrame):
        return f"{len(data)} bytes: {frame.id}"
    words: list[str] = []
    for item in frame.items:
        if item.kind == RAFT:
            words.append(_message_text(item.body))
        else:
            name = _ITEM_NAMES[item.kind] if item.kind < len(_ITEM_NAMES) else f"item {item.kind}"
            words.append(f"{name} {len(item.body)} B")
    return ", ".join(words) or "nothing"


def _message_text(body: bytes) -> str:
    try:
        message = decode_message(body)
    except MessageDamaged:
        return "damaged message"
    name = type(message).__name__
    term = getattr(message, "term", 0)
    if isinstance(message, AppendEntries):
        end = message.previous_index + len(message.entries)
        return f"{name} term {term} {message.previous_index + 1}..{end} commit {message.commit_index}"
    if isinstance(message, AppendEntriesReply):
        return f"{name} term {term} {'up to' if message.is_accepted else 'refused at'} {message.index}"
    return f"{name} term {term}"
