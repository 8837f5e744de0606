"""What only the node's inside shows: the disk must hold what the node acts on, and nothing may be left behind.

A second replica is recovered from the durable image alone. It must have every entry whose sync returned (law W1) and,
when nothing is under way, the same state byte for byte (law REPLAY): live apply, redecoded entries, snapshots and replay
are four ways to one state.
"""

from typing import Final

from quantum.core.broker.state import BrokerState
from quantum.core.group.replica import Replica
from quantum.core.node.identity import Identity
from quantum.core.node.node import PARTITION, Node
from quantum.core.node.storage import Storage
from quantum.core.raft.entry import COMMAND
from quantum.core.wal.requests import AppendLog, CreateFile, DiskDone, DiskRequest, ListFiles, ReadFile, WriteFile
from quantum.sim.clients import ONLINE, Client
from quantum.sim.host import Host
from quantum.sim.promises import Promises

ROUNDS_MAX: Final = 10_000


def recover(host: Host, node: Node) -> tuple[Replica, BrokerState] | str:
    """Boot a storage from what is on the medium, at once and without faults; the text of its refusal."""
    files = {name: bytearray(data) for name, data in host.disk.durable_image().items()}
    machine = BrokerState()
    identity = node.storage.identity
    identity = Identity(identity.cluster_id, identity.node_id, identity.node, identity.voters)
    storage = Storage(identity, host.config.storage, {PARTITION: machine}, host.config.raft)
    storage.start()
    for _ in range(ROUNDS_MAX):
        storage.on_disk_done([_answer(files, request) for request in storage.take_requests()])
        if storage.failure:
            return storage.failure
        if storage.is_serving:
            return storage.groups[PARTITION], machine
        storage.flush()
    return "the boot never ends"


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


def check_durable(host: Host, node: Node, promises: Promises) -> None:
    """W1, at any instant: what was synced is found again."""
    if node.storage.failure:
        return
    found = recover(host, node)
    if isinstance(found, str):
        promises.violate(
            "NO SILENT CUT", f"everything that node {host.number} synced is intact", f"recovery says: {found}"
        )
        return
    log = found[0].raft.log
    for index, term in host.log.terms.items():
        if index > log.base_index and log.term_at(index) != term:
            promises.violate(
                "W1",
                f"node {host.number} has synced entry {index} of term {term}",
                f"recovered from its disk, the log has {log.base_index} to {log.last_index}, and term "
                f"{log.term_at(index)} there",
            )
            return


def check_replay(host: Host, node: Node, promises: Promises) -> int:
    """Laws REPLAY and CONSERVE, when nothing is under way. Returns how many states were compared."""
    if not node.partition.is_balanced():
        promises.violate("CONSERVE", "every copy is in one column of the ledger", str(node.partition.accounting))
    found = recover(host, node)
    if isinstance(found, str):
        promises.violate(
            "NO SILENT CUT", f"everything that node {host.number} synced is intact", f"recovery says: {found}"
        )
        return 0
    replica, machine = found
    applied_index = node.storage.groups[PARTITION].applied_index
    log = replica.raft.log
    if replica.applied_index < log.base_index or log.last_index < applied_index:
        return 0
    if log.lost and host.disk.was_damaged:
        return 0  # What was damaged once may be doubted once more.
    for index in range(replica.applied_index + 1, applied_index + 1):
        entry = log.entry(index)
        if entry.kind == COMMAND:
            machine.apply(index, entry.data, None)
    if replica.applied_index > applied_index:
        return 0
    if machine.digest() != node.partition.digest():
        promises.violate(
            "REPLAY",
            f"the state of node {host.number} at entry {applied_index} has digest {node.partition.digest().hex()[:16]}",
            f"recovered from its disk it has digest {machine.digest().hex()[:16]}",
        )
    return 1


def check_leaks(node: Node, clients: list[Client], promises: Promises) -> None:
    """M20: everybody is settled, so nothing may be open, queued or connected that no client knows of."""
    online = [client for client in clients if client.state == ONLINE]
    unnoticed = [client for client in clients if client.has_left and client.left_half_open]
    connected = node.partition.counts()["connected"]
    if not len(online) <= connected <= len(online) + len(unnoticed):
        promises.violate("M20", f"{len(online)} clients are connected", f"the node has {connected} connected sessions")
    for client in online:
        view = node.partition.session_view(client.plan.client_id)
        if client.session.is_loose:
            continue  # It may have let go of exchanges that are open here.
        for name in ("received_packet_ids", "inflight_messages", "queued_messages", "queued_bytes"):
            if view.get(name):
                promises.violate(
                    "M20", f"{client.plan.client_id} has no exchange open", f"its session has {name} {view[name]}"
                )
