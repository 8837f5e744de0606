"""What only the node's inside shows: the disk must hold what the node acts on, and nothing may be left behind.

A second replica is recovered from the durable image alone. It must have every entry the node has applied (law ACK) and,
when nothing is under way, the same state byte for byte (law REPLAY): live apply, redecoded entries, snapshots and replay
are four ways to one state.
"""

from dataclasses import dataclass
from typing import Final, final

from quantum.core.broker.state import BrokerState
from quantum.core.node.node import PARTITION, Node
from quantum.core.node.storage import Identity, Storage, StorageConfig
from quantum.core.wal.requests import AppendLog, CreateFile, DiskDone, DiskRequest, ListFiles, ReadFile, WriteFile
from quantum.sim.clients import ONLINE, Client
from quantum.sim.promises import Promises

ROUNDS_MAX: Final = 10_000


@final
@dataclass(slots=True)
class Recovered:
    """A replica that was read from an image; `failure` says why it could not be."""

    applied_index: int
    digest: bytes
    failure: str


def recover(image: dict[str, bytes], identity: Identity, config: StorageConfig) -> Recovered:
    """Boot a storage from an image, at once and without faults."""
    files = {name: bytearray(data) for name, data in image.items()}
    machine = BrokerState()
    storage = Storage(identity, config, {PARTITION: machine})
    storage.start()
    for _ in range(ROUNDS_MAX):
        storage.on_disk_done([_answer(files, request) for request in storage.take_requests()])
        storage.flush()
        if storage.failure:
            return Recovered(0, b"", storage.failure)
        if storage.is_ready:
            # The last entry is the new term's own; the machine does not see it.
            return Recovered(storage.groups[PARTITION].applied_index - 1, machine.digest(), "")
    return Recovered(0, b"", "the boot never ends")


def _answer(files: dict[str, bytearray], request: DiskRequest) -> DiskDone:
    done = DiskDone(request.number)
    if isinstance(request, ListFiles):
        done.files = [(name, len(files[name])) for name in sorted(files)]
    elif isinstance(request, ReadFile):
        done.data = bytes(files[request.name][request.offset : request.offset + request.size])
    elif isinstance(request, AppendLog):
        files[request.name][request.offset : request.offset + len(request.data)] = request.data
    elif isinstance(request, CreateFile):
        files[request.name] = bytearray(request.size)
    elif isinstance(request, WriteFile):
        files[request.name] = bytearray(request.data)
    else:
        for name in request.names:
            files.pop(name, None)
    return done


def check_durable(node: Node, image: dict[str, bytes], config: StorageConfig, promises: Promises) -> None:
    """Law ACK, at any instant: what was applied may have been acknowledged, so the medium has it."""
    applied_index = node.storage.groups[PARTITION].applied_index
    if not applied_index or node.storage.failure:
        return
    found = recover(image, node.storage.identity, config)
    if found.failure:
        promises.violate("NO SILENT CUT", "everything that was synced is intact", f"recovery says: {found.failure}")
    elif found.applied_index < applied_index:
        promises.violate(
            "ACK",
            f"the node has applied, and may have acknowledged, entry {applied_index}",
            f"the durable image at {promises.now_ms} ms ends with entry {found.applied_index}",
        )


def check_replay(node: Node, image: dict[str, bytes], config: StorageConfig, promises: Promises) -> int:
    """Laws REPLAY and CONSERVE, when nothing is under way. Returns how many states were compared."""
    applied_index = node.storage.groups[PARTITION].applied_index
    if not node.partition.is_balanced():
        promises.violate("CONSERVE", "every copy is in one column of the ledger", str(node.partition.accounting))
    found = recover(image, node.storage.identity, config)
    if found.failure:
        promises.violate("NO SILENT CUT", "everything that was synced is intact", f"recovery says: {found.failure}")
    elif found.applied_index == applied_index:
        if found.digest != node.partition.digest():
            promises.violate(
                "REPLAY",
                f"the node's state at entry {applied_index} has digest {node.partition.digest().hex()[:16]}",
                f"recovered from its disk it has digest {found.digest.hex()[:16]}",
            )
        return 1
    return 0


def check_leaks(node: Node, clients: list[Client], promises: Promises) -> None:
    """M20: everybody is settled, so nothing may be open, queued or connected that no client knows of."""
    online = [client for client in clients if client.state == ONLINE]
    unnoticed = [client for client in clients if client.has_left and client.left_half_open]
    connected = node.partition.counts()["connected"]
    if not len(online) <= connected <= len(online) + len(unnoticed):
        promises.violate("M20", f"{len(online)} clients are connected", f"the node has {connected} connected sessions")
    for client in online:
        view = node.partition.session_view(client.plan.client_id)
        for name in ("received_packet_ids", "inflight_messages", "queued_messages", "queued_bytes"):
            if view.get(name):
                promises.violate(
                    "M20", f"{client.plan.client_id} has no exchange open", f"its session has {name} {view[name]}"
                )
