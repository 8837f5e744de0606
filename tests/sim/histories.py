"""Histories by hand: what clients did and what a server answered, one line each, told to real clients and oracles.

A line `s connect` is the client's doing, `s< connack` the server's. Lines that begin with `!` belong to the doctored
history only, lines with `=` to its good twin only. The words are in `History`; a payload of several words has colons.
"""

from quantum.core.mqtt.decode import decode_packet
from quantum.core.mqtt.encode import encode_packet
from quantum.core.mqtt.framer import PACKET_BYTES_LIMIT, Framer
from quantum.core.mqtt.packets import (
    NO_EXPIRY,
    V5,
    V311,
    Connack,
    Packet,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
)
from quantum.core.prng import Prng
from quantum.sim.client_plan import NEVER_S, ClientPlan
from quantum.sim.clients import Client
from quantum.sim.network import Network, NetworkOptions
from quantum.sim.promises import Promises
from quantum.sim.published import delete_key
from quantum.sim.scheduler import TO_NODE, Scheduler

PROPERTIES = b"\x03\x00\x04text"
OTHER_PROPERTIES = b"\x03\x00\x04html"
BIG = bytes(300)


def laws(script: str, is_doctored: bool) -> list[str]:
    """The laws that the oracles say were broken, in their order."""
    history = History()
    for number, raw in enumerate(script.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("=" if is_doctored else "!"):
            continue
        try:
            history.tell(line.lstrip("!= ").split())
        except (KeyError, IndexError, ValueError) as error:
            raise AssertionError(f"line {number} of the history says {line!r}: {error!r}") from error
    return history.end()


class History:
    """One run without a world."""

    def __init__(self) -> None:
        self.promises = Promises()
        self.scheduler = Scheduler(Prng(1))
        self.network = Network(Prng(2), NetworkOptions(split_share=0), self.scheduler)
        self.plans: dict[str, ClientPlan] = {}
        self.clients: dict[str, Client] = {}
        self.framers: dict[int, Framer] = {}
        self.ids: dict[bytes, int] = {}  # payload → Packet Identifier of the publisher
        self.requests: dict[str, list[int]] = {}
        self.last_reader = ""

    def tell(self, words: list[str]) -> None:
        """One line."""
        who, verb, rest = words[0], words[1], words[2:]
        if who == "plan":
            self.plan(verb, rest)
        elif who == "wait":
            self.promises.now_ms += int(verb)
        elif who == "time":
            assert verb == "uneven"
            self.promises.is_time_even = False
        elif who == "world":
            self.by_world(verb, rest[0])
        elif who.endswith("<"):
            self.by_server(who[:-1], verb, rest)
        else:
            self.by_client(who, verb, rest)

    def end(self) -> list[str]:
        """The verdict."""
        self.promises.finish()
        if self.last_reader:
            self.promises.check_retained(self.last_reader, self.clients[self.last_reader].retained)
        else:
            self.promises.retained.finish()
        return [violation.law for violation in self.promises.violations]

    # -- who there is ---------------------------------------------------------------------------------------------

    def plan(self, who: str, words: list[str]) -> None:
        """A client that is not as all others are."""
        plan = self.plan_of(who)
        for word in words:
            name, _, value = word.partition("=")
            if name == "v311":
                plan.version = V311
            elif name == "ephemeral":
                plan.is_persistent = False
            elif name == "group":
                plan.share_group = value
            elif name == "will":
                plan.has_will = True
            elif name == "retained-will":
                plan.has_will = plan.is_will_retained = True
            elif name == "holds":
                plan.ack_delay_share = 100
            elif name == "expiry":
                plan.expiry_s = int(value)
            elif name == "delay":
                plan.will_delay_s = int(value)
            elif name == "receive":
                plan.receive_maximum = int(value)
            elif name == "bytes":
                plan.packet_bytes_max = int(value)
            else:
                assert name == "alias", word
                plan.alias_max = int(value)

    def plan_of(self, who: str) -> ClientPlan:
        """Of version 5.0, with a session that does not end."""
        if who not in self.plans:
            self.plans[who] = ClientPlan(
                number=len(self.plans),
                client_id=who,
                version=V5,
                is_persistent=True,
                expiry_s=NEVER_S,
                keep_alive_s=60,
                receive_maximum=65535,
                share_group="",
                subscriptions=[],
                topics=["t/1"],
                retained_topics=[],
                has_will=False,
                will_delay_s=0,
                qos_weights=[1],
                action_weights=[1],
                think_us_max=1,
                ack_delay_share=0,
                window=10,
                expiry_share=0,
                payload_bytes_max=1,
            )
        return self.plans[who]

    def client(self, who: str) -> Client:
        """By name."""
        if who not in self.clients:
            self.clients[who] = Client(self.plan_of(who), Prng(3), self.network, self.promises)
        return self.clients[who]

    # -- what they do ---------------------------------------------------------------------------------------------

    def by_client(self, who: str, verb: str, rest: list[str]) -> None:
        """What a client does."""
        client = self.client(who)
        if verb == "connect":
            client.connect(clean_start="clean" in rest)
            assert client.link is not None
            client.link.conn_id = client.link.number
        elif verb == "publish":
            self.publish(client, rest)
        elif verb == "subscribe":
            options = dict(word.partition("=")[::2] for word in rest[2:])
            subscription = Subscription(
                rest[0], int(rest[1]), "nl" in options, "rap" in options, int(options.get("rh", "0"))
            )
            plan = client.plan
            plan.subscriptions, plan.subscription_ids = [subscription], [int(options.get("id", "0"))]
            client.subscribe([subscription])
            plan.subscriptions, plan.subscription_ids = [], []
        elif verb == "unsubscribe":
            client.unsubscribe(rest[0])
        elif verb == "disconnect":
            client.disconnect()
        elif verb == "disconnect-for-good":
            client.disconnect_for_good()
        elif verb == "disconnect-with-will":
            client.disconnect_with_will()
        elif verb == "drop":
            client.drop()
        elif verb == "leave":
            client.leave()
        elif verb == "probe":
            client.probe()
        elif verb == "stale":
            client.publish_on_old_link()
        elif verb == "acks":
            client.release_acks()
        else:
            assert verb == "reads", verb
            client.finds_retained = True
            self.last_reader = who
        self.collect()

    def publish(self, client: Client, rest: list[str]) -> None:
        """`publish topic qos name`, with options."""
        options = dict(word.partition("=")[::2] for word in rest[3:])
        packet = self.packet(rest, options)
        key = packet.payload
        if not key:
            key = delete_key(rest[0], len(self.promises.published))
        client.send_publish(packet, key)
        self.ids[rest[2].encode()] = packet.packet_id

    def packet(self, rest: list[str], options: dict[str, str]) -> Publish:
        """A PUBLISH in words."""
        payload = b"" if rest[2].startswith("-") else rest[2].replace(":", " ").encode()
        if "big" in options:
            payload += BIG
        properties = PROPERTIES if "properties" in options else OTHER_PROPERTIES if "others" in options else b""
        return Publish(
            "" if rest[0] == "." else rest[0],
            payload,
            int(rest[1]),
            "retain" in options,
            "dup" in options,
            int(options.get("id", "0")),
            properties,
            int(options.get("expiry", str(NO_EXPIRY))),
            int(options.get("alias", "0")),
            tuple(int(number) for number in options["subs"].split(",")) if "subs" in options else (),
        )

    def collect(self) -> None:
        """What arrived at the server, in order; it needs the Packet Identifiers."""
        while True:
            due = self.scheduler.pop(self.scheduler.now_us + 1_000_000)
            if due is None:
                return
            if due[3] != TO_NODE or not isinstance(due[5], bytes):
                continue
            link = self.network.links[due[4]]
            who, plan = next((who, plan) for who, plan in self.plans.items() if plan.number == link.client)
            framer = self.framers.setdefault(link.number, Framer(PACKET_BYTES_LIMIT))
            for first, body in framer.feed(due[5]):
                packet = decode_packet(plan.version, first, body)
                if isinstance(packet, Subscribe | Unsubscribe):
                    self.requests.setdefault(who, []).append(packet.packet_id)

    # -- what the server answers ------------------------------------------------------------------------------------

    def by_server(self, who: str, verb: str, rest: list[str]) -> None:
        """Bytes for a client."""
        client = self.client(who)
        assert client.link is not None
        options = dict(word.partition("=")[::2] for word in rest)
        version = client.plan.version
        packet: Packet
        if verb == "bytes":
            client.on_bytes(client.link, bytes.fromhex(rest[0]))
            return
        if verb == "connack":
            packet = Connack("present" in options, int(options.get("code", "0"), 16))
        elif verb == "suback":
            packet = Suback(self.requests[who].pop(0), [int(rest[0], 16)])
        elif verb == "unsuback":
            packet = Unsuback(self.requests[who].pop(0), [0] if version == V5 else [])
        elif verb == "puback":
            packet = Puback(self.ids[rest[0].encode()], int(options.get("code", "0"), 16))
        elif verb == "pubrec":
            packet = Pubrec(self.ids[rest[0].encode()], int(options.get("code", "0"), 16))
        elif verb == "pubcomp":
            packet = Pubcomp(self.ids[rest[0].encode()])
        elif verb == "pubrel":
            packet = Pubrel(int(rest[0]))
        elif verb == "stray-suback":
            packet = Suback(999, [1])
        else:
            assert verb == "publish", verb
            packet = self.packet(rest, options)
        client.on_bytes(client.link, encode_packet(version, packet))
        self.collect()

    def by_world(self, verb: str, who: str) -> None:
        """What only the world can know."""
        client = self.client(who)
        if verb == "wills-due":
            assert client.wills_due
            for key in client.wills_due:
                self.promises.on_will_due(key)
            client.wills_due = []
        elif verb == "disturbed":
            self.promises.on_disturbed()
        elif verb == "settled":
            if not client.is_settled:
                self.promises.violate("L2", "everybody had time", f"{who} still waits")
        else:
            assert verb == "will-removed", verb
            self.promises.on_will_removed(
                f"will {who} {client.connack_count}".encode(), "DISCONNECT arrived and the node ran on"
            )
