"""Goal: whatever clients and nodes do, edges and replicas agree when everything has come to rest, and no session gets a
message more often than its QoS allows. Method: random acts over several edges, replicas held back, edges closed and
opened, processes replaced, relayed bodies repeated and shuffled."""

import random

import pytest

from quantum.core.edge.connections import OPEN
from quantum.core.mqtt.packets import (
    V5,
    V311,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Subscribe,
    Subscription,
    Unsubscribe,
    Will,
)
from tests.core.edge.several import Several

NAMES = [f"c{number}" for number in range(6)]
SITES = (1, 2, 3)


class Crowd:
    """Clients that follow the protocol, except that they come and go as they like."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.several = Several(len(SITES))
        self.names: dict[int, str] = {}  # connection → Client Identifier
        self.generations: dict[str, int] = {}  # how many sessions the client had
        self.got: dict[tuple[str, int, bytes], int] = {}  # session, payload → copies without DUP
        self.open: list[int] = []
        self.most: dict[bytes, int] = {}  # payload → copies a session may get
        self._number = 0
        self._packet_id = 0

    def act(self) -> None:
        chance, several = self.chance, self.several
        roll = chance.random()
        if roll < 0.12 or not self.open:
            self._connect()
        elif roll < 0.30:
            self._subscribe(chance.choice(self.open))
        elif roll < 0.75:
            self._publish(chance.choice(self.open))
        elif roll < 0.79:
            conn_id = chance.choice(self.open)
            several.send(
                conn_id, Disconnect(chance.choice([0, 4])) if several.versions[conn_id] == V5 else Disconnect(0)
            )
            self._gone(conn_id)
        elif roll < 0.83:
            self._gone(chance.choice(self.open))
        elif roll < 0.89:
            site = several.sites[chance.choice(SITES)]
            site.is_held = not site.is_held
        elif roll < 0.91:
            several.close_edge(chance.choice(SITES))
        elif roll < 0.93:
            several.open_edge(chance.choice(SITES))
        elif roll < 0.94:
            several.restart(chance.choice(SITES))
        elif roll < 0.98:
            several.is_relay_held = not several.is_relay_held
            if several.relayed and chance.random() < 0.5:
                several.relayed += chance.sample(several.relayed, 1 + len(several.relayed) // 3)
                chance.shuffle(several.relayed)
        else:
            several.now_ms += chance.choice([1, 1000, 60_000])
        several.run()
        self.answer()

    def rest(self) -> None:
        """Everything held back goes on; every edge is open."""
        several = self.several
        several.is_relay_held = False
        for site in several.sites.values():
            site.is_held = False
        several.run()
        for number in SITES:
            if not several.sites[number].state.is_edge_open(number):
                several.open_edge(number)
        while self.answer():
            pass

    def answer(self) -> bool:
        """Read what was written to the clients, and answer it."""
        several = self.several
        is_busy = False
        for conn_id in list(self.open):
            packets = several.take(conn_id)
            is_busy = is_busy or bool(packets)
            answers = [answer for packet in packets for answer in self._read(conn_id, packet)]
            if several.is_closed(conn_id) or conn_id not in several.site_of[conn_id].edge.connections:
                self._gone(conn_id)
            elif answers:
                several.send(conn_id, *answers)
        return is_busy

    def _read(self, conn_id: int, packet: Packet) -> list[Packet]:
        name = self.names[conn_id]
        if isinstance(packet, Connack) and not packet.session_present:
            self.generations[name] = self.generations.get(name, 0) + 1
        elif isinstance(packet, Publish):
            if not packet.dup and not packet.retain:
                key = (name, self.generations.get(name, 0), packet.payload)
                self.got[key] = self.got.get(key, 0) + 1
            if packet.qos:
                return [Puback(packet.packet_id) if packet.qos == 1 else Pubrec(packet.packet_id)]
        elif isinstance(packet, Pubrec):
            return [Pubrel(packet.packet_id)]
        elif isinstance(packet, Pubrel):
            return [Pubcomp(packet.packet_id)]
        return []

    def _gone(self, conn_id: int) -> None:
        self.open.remove(conn_id)
        self.several.site_of[conn_id].edge.on_closed(conn_id, "gone")
        self.several.run()

    def _connect(self) -> None:
        chance, several = self.chance, self.several
        conn_id = 1_000 + len(self.names)
        name = chance.choice(NAMES)
        self.names[conn_id] = name
        site = several.site_of[conn_id] = several.sites[chance.choice(SITES)]
        version = several.versions[conn_id] = chance.choice([V311, V5, V5])
        expiry_s = chance.choice([0, 30, 1000]) if version == V5 else 0
        self._number += 1
        will = Will("t", b"will%d" % self._number, chance.randrange(3), False) if chance.random() < 0.4 else None
        site.edge.on_accepted(conn_id, "tcp", "peer", "")
        self.open.append(conn_id)
        properties: dict[int, int | str | bytes | list[int] | list[tuple[str, str]]] = (
            {17: expiry_s} if expiry_s else {}
        )
        several.send(conn_id, Connect(version, name, chance.random() < 0.4, 0, will=will, properties=properties))

    def _subscribe(self, conn_id: int) -> None:
        chance = self.chance
        topic_filter = chance.choice(["t", "t/+", "t/#", "r", "$share/g/s"])
        if chance.random() < 0.2:
            self.several.send(conn_id, Unsubscribe(self._id(), [topic_filter]))
            return
        no_local = topic_filter[0] != "$" and self.several.versions[conn_id] == V5 and chance.random() < 0.3
        self.several.send(conn_id, Subscribe(self._id(), [Subscription(topic_filter, chance.randrange(3), no_local)]))

    def _publish(self, conn_id: int) -> None:
        packets: list[Packet] = []
        for _ in range(self.chance.choice([1, 1, 3])):
            qos = self.chance.randrange(3)
            self._number += 1
            payload = b"%d" % self._number
            topic_name = self.chance.choice(["t", "t", "t/a", "s", "r"])
            retain = topic_name == "r"
            packets.append(Publish(topic_name, payload, qos, retain, packet_id=self._id() if qos else 0))
        self.several.send(conn_id, *packets)

    def _id(self) -> int:
        self._packet_id = self._packet_id % 60_000 + 1
        return self._packet_id


def differences(crowd: Crowd) -> list[str]:
    """What edges and replicas do not agree on, at rest."""
    found: list[str] = []
    sites = crowd.several.sites
    state = sites[1].state
    if 1 != len({site.state.digest() for site in sites.values()}):
        found.append("replicas differ")
    if not state.is_balanced():
        found.append(f"the partition's ledger: {state.accounting}")
    views = [view for view in map(state.session_view, NAMES) if view and view["is_connected"]]
    for number, site in sites.items():
        edge = site.edge
        served = {(c.client_id, c.conn_epoch, c.conn_id) for c in edge.connections.values() if c.state == OPEN}
        known = {(view["client_id"], view["conn_epoch"], view["conn_id"]) for view in views if view["edge"] == number}
        if served != known:
            found.append(f"edge {number} serves {served}, the log knows {known}")
        if not edge.fanout.ledger.is_balanced():
            found.append(f"the ledger of edge {number}")
        for connection in edge.connections.values():
            if connection.publishes_unanswered or connection.retains_open:
                found.append(f"{connection.client_id} waits for an answer at edge {number}")
        if len(site.pending):
            found.append(f"edge {number} has {len(site.pending)} batches under way")
    return found


@pytest.mark.parametrize("first_seed", range(0, 60, 10))
def test_edges_and_replicas_agree_when_everything_has_come_to_rest(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + 10):
        crowd = Crowd(seed)
        for _ in range(6):
            for _ in range(25):
                crowd.act()
            crowd.rest()
            assert [] == differences(crowd), f"seed {seed}"
        assert {} == {key: count for key, count in crowd.got.items() if count > 1}, f"seed {seed}"
