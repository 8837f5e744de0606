"""What clients do: who they are, drawn once per seed, and what each does when its time has come.

Ranges are drawn first and the run is drawn within them, so that some seeds are all bursts, some all reconnects. Every
client draws from a stream of its own. Source: FAULTS §1.3, §4.5.
"""

from dataclasses import dataclass
from typing import Final, final

from quantum.core.mqtt.packets import V5, V311, Subscription
from quantum.core.prng import Prng
from quantum.sim.client_plan import NEVER_S, ClientPlan
from quantum.sim.clients import CONNECTING, OFFLINE, ONLINE, Client

CONNACK_TIMEOUT_MS: Final = 4_000
ANSWER_TIMEOUT_MS: Final = 8_000
PING_MS: Final = 1_000  # of silence, before a quiet client asks whether the server is there
STALLED_MS: Final = 5_000  # of silence from a server that is asked all the time
LEAVERS_DELAY_S_MAX: Final = 3
CALM_MS: Final = 4_000  # of the quiet period, until nothing of what was wrong is left
QUIET_THINK_US: Final = 250_000

# What a client may do; indexes into `action_weights`.
PUBLISH: Final = 0
BURST: Final = 1
RESUBSCRIBE: Final = 2
UNSUBSCRIBE: Final = 3
DISCONNECT: Final = 4
DROP: Final = 5
TAKE_OVER: Final = 6
PING: Final = 7
START_CLEAN: Final = 8
IDLE: Final = 9
DISCONNECT_WITH_WILL: Final = 10
BREAK_PROTOCOL: Final = 11
DISCONNECT_FOR_GOOD: Final = 12
ACTION_COUNT: Final = 13


@final
@dataclass(slots=True)
class WorkloadOptions:
    """Drawn once per seed."""

    client_count: int = 5
    topic_count: int = 3
    think_us_max: int = 200_000
    burst_max: int = 10
    member_count: int = 0  # of the shared group
    has_wills: bool = True
    has_expiry: bool = False
    payload_bytes_max: int = 64
    retained_topic_count: int = 3  # shared by all who write them
    has_options: bool = False  # Subscription Options and Subscription Identifiers
    has_aliases: bool = False
    has_properties: bool = False
    has_packet_limits: bool = False
    has_broken_bytes: bool = False
    group_count: int = 1  # of shared groups


def draw_workload(prng: Prng, is_lite: bool) -> WorkloadOptions:
    """The ranges of a seed."""
    return WorkloadOptions(
        client_count=prng.between(3, 5) if is_lite else prng.between(3, 8),
        topic_count=prng.between(1, 4),
        think_us_max=prng.between(100_000, 600_000),
        burst_max=prng.between(2, 16),
        member_count=prng.between(2, 3) if prng.chance(1, 3) else 0,
        has_wills=prng.chance(1, 2),
        has_expiry=prng.chance(1, 3),
        payload_bytes_max=(16, 100, 3_000, 20_000)[prng.choice_index([8, 8, 2, 1])],
        retained_topic_count=prng.between(1, 5),
        has_options=prng.chance(2, 3),
        has_aliases=prng.chance(1, 3),
        has_properties=prng.chance(1, 3),
        has_packet_limits=prng.chance(1, 5),
        has_broken_bytes=prng.chance(1, 4),
        group_count=prng.between(1, 2),
    )


def draw_plans(prng: Prng, options: WorkloadOptions) -> list[ClientPlan]:
    """The clients: a monitor that owes itself everything, perhaps a shared group, and the rest."""
    plans = [_draw_plan(prng.stream(f"plan {number}"), options, number) for number in range(options.client_count)]
    monitor = plans[0]
    _make_reader(monitor, prng, "monitor", [Subscription("#", prng.between(1, 2))])
    for number in range(options.member_count * options.group_count):
        group = "gh"[number % options.group_count]
        member = _draw_plan(prng.stream(f"member {number}"), options, len(plans))
        _make_reader(member, prng, f"member-{number}", [Subscription(f"$share/{group}/s/#", prng.between(1, 2))])
        member.share_group = group
        if number >= options.group_count and prng.stream(f"brief {number}").chance(1, 2):
            member.is_persistent = False  # Its session ends with its connection; one of each group stays.
            member.expiry_s = 0
        member.action_weights[RESUBSCRIBE] = member.action_weights[UNSUBSCRIBE] = int(prng.chance(1, 4))
        member.action_weights[START_CLEAN] = int(prng.chance(1, 3))
        plans.append(member)
    return plans


def _make_reader(plan: ClientPlan, prng: Prng, client_id: str, subscriptions: list[Subscription]) -> None:
    """A client that only subscribes, and whose session never ends."""
    plan.client_id = client_id
    plan.is_persistent = True
    plan.expiry_s = NEVER_S
    plan.has_will = False
    plan.subscriptions = subscriptions
    plan.subscription_ids = []
    plan.packet_bytes_max = 0
    plan.topics = []
    plan.retained_topics = []
    plan.action_weights = [0] * ACTION_COUNT
    plan.action_weights[DISCONNECT] = prng.below(2)
    plan.action_weights[DROP] = prng.below(3)
    plan.action_weights[TAKE_OVER] = prng.below(2)
    plan.action_weights[PING] = 1
    plan.action_weights[IDLE] = 20


def _draw_plan(prng: Prng, options: WorkloadOptions, number: int) -> ClientPlan:
    version = V5 if prng.chance(2, 3) else V311
    is_persistent = prng.chance(2, 3)
    is_short = version == V5 and options.has_expiry and prng.chance(1, 3)
    filters = ["t/#", "t/+", *(f"t/{topic}" for topic in range(options.topic_count)), "r/#", "r/1", "will/#"]
    chosen = [filters[at] for at in prng.permutation(len(filters))[: prng.below(5)]]
    topics = [f"t/{topic}" for topic in range(options.topic_count)]
    if options.member_count:
        topics += [f"s/{topic}" for topic in range(2)]
    has_options = options.has_options and version == V5
    retained = [f"r/{topic}" for topic in range(options.retained_topic_count)]
    return ClientPlan(
        number=number,
        client_id=f"client-{number}",
        version=version,
        is_persistent=is_persistent,
        expiry_s=prng.between(2, 6) if is_short else NEVER_S,
        keep_alive_s=prng.between(3, 30),
        receive_maximum=(1, 3, 20, 65535)[prng.below(4)],
        share_group="",
        subscriptions=[_draw_subscription(prng, topic_filter, has_options) for topic_filter in chosen],
        subscription_ids=[prng.below(4) if has_options else 0 for _ in chosen],
        topics=topics,
        retained_topics=[retained[at] for at in prng.permutation(len(retained))[: prng.below(3)]],
        has_will=options.has_wills and prng.chance(1, 2),
        will_delay_s=prng.between(1, 8) if version == V5 and prng.chance(1, 3) else 0,
        will_qos=prng.between(1, 2),
        is_will_retained=prng.chance(1, 4),
        qos_weights=[prng.below(3), 1 + prng.below(4), 1 + prng.below(4)],
        action_weights=_draw_weights(prng, options, version),
        think_us_max=20_000 + prng.below(options.think_us_max),
        ack_delay_share=(0, 10, 60)[prng.below(3)],
        window=prng.between(1, 12),
        expiry_share=50 if options.has_expiry else 0,
        payload_bytes_max=options.payload_bytes_max,
        packet_bytes_max=prng.between(100, 1500) if version == V5 and options.has_packet_limits else 0,
        alias_max=prng.below(4) if version == V5 and options.has_aliases else 0,
        alias_share=prng.below(100) if options.has_aliases else 0,
        properties_share=prng.below(100) if options.has_properties else 0,
        retained_share=prng.between(5, 50),
    )


def _draw_weights(prng: Prng, options: WorkloadOptions, version: int) -> list[int]:
    weights = [20, *(prng.below(bound) for bound in (8, 3, 3, 3, 3, 3)), 1, prng.below(2), prng.below(20), 0, 0, 0]
    if version == V5:
        weights[DISCONNECT_WITH_WILL] = prng.below(2)
        weights[DISCONNECT_FOR_GOOD] = prng.below(2)
    if options.has_broken_bytes:
        weights[BREAK_PROTOCOL] = prng.below(2)
    return weights


def _draw_subscription(prng: Prng, topic_filter: str, has_options: bool) -> Subscription:
    qos = prng.below(3)
    if not has_options:
        return Subscription(topic_filter, qos)
    return Subscription(
        topic_filter,
        qos,
        no_local=prng.chance(1, 4),
        retain_as_published=prng.chance(1, 4),
        retain_handling=prng.choice_index([3, 2, 2]),
    )


@final
class Behaviour:
    """Decides for one client."""

    __slots__ = (
        "_burst_max",
        "_offline_weight",
        "_prng",
        "client",
        "has_probed",
        "has_said_last",
        "is_off",
        "is_quiet",
        "is_stalled",
        "leaves",
        "op_count",
        "ops_off",
        "quiet_ms",
    )

    def __init__(self, client: Client, prng: Prng, burst_max: int) -> None:
        self.client = client
        self._prng = prng
        self._burst_max = burst_max
        self._offline_weight = prng.below(8)
        # Nothing may be owed to a member for ever, and the monitor is there for everything.
        is_witness = client.plan.number == 0 or client.plan.share_group
        # Its will must have come when the run ends.
        self.leaves = prng.chance(1, 6) and not is_witness and client.plan.will_delay_s <= LEAVERS_DELAY_S_MAX
        self.is_stalled = False  # in the quiet period, and yet the server does not answer
        self.quiet_ms = 0  # when that began
        self.is_quiet = False
        self.has_said_last = False  # the one message of the quiet period
        self.has_probed = False
        self.is_off = False  # never acts at all
        self.op_count = 0  # operations drawn
        self.ops_off: list[tuple[int, int]] = []  # first and last of those that are left out, though drawn

    def begin_quiet(self, now_ms: int) -> None:
        """Come back, finish what is open, and stay."""
        self.is_quiet = True
        self.quiet_ms = now_ms
        self.client.is_prompt = True

    @property
    def is_done(self) -> bool:
        """Nothing is to come from this client any more."""
        return self.is_off or self.client.has_left or (self.client.is_settled and self.has_said_last)

    def think_us(self) -> int:
        """How long until the client acts again."""
        if self.is_quiet and self.client.state != OFFLINE:
            return QUIET_THINK_US
        return 1_000 + self._prng.below(self.client.plan.think_us_max)

    def act(self, now_ms: int) -> bytes:
        """Do one thing. Returns the will that a DISCONNECT of this step takes back, b"" for none."""
        client = self.client
        if self.is_off or client.has_left:
            return b""
        if self.is_quiet and self.leaves:
            client.leave()
            return b""
        client.release_acks()
        if client.has_old_link and client.state == ONLINE:
            client.publish_on_old_link()
        if client.state == OFFLINE:
            if self.is_quiet or self._prng.below(self._offline_weight + 1) == 0:
                client.connect(clean_start=False)
            return b""
        waited_ms = now_ms - client.since_ms
        if client.state == CONNECTING:
            if waited_ms > CONNACK_TIMEOUT_MS:
                client.drop()
            return b""
        if client.open_count and waited_ms > ANSWER_TIMEOUT_MS:
            client.drop()
            return b""
        if self.is_quiet and min(waited_ms, now_ms - self.quiet_ms) > STALLED_MS:
            self.is_stalled = True
        if self.is_quiet:
            self._stay(waited_ms, now_ms)
            return b""
        return self._choose()

    def _stay(self, waited_ms: int, now_ms: int) -> None:
        if self.has_said_last and not self.has_probed and now_ms - self.quiet_ms > CALM_MS and self.client.is_settled:
            self.has_probed = True
            self.client.probe()
        elif not self.has_said_last:
            self.has_said_last = True
            self.client.publish(self._prng)
        elif not self.client.is_settled or waited_ms > PING_MS:
            self.client.ping()

    def _choose(self) -> bytes:
        """One operation. It draws from a stream of its own, so that leaving it out changes nothing of those after it."""
        op = self.op_count
        self.op_count += 1
        if any(first <= op <= last for first, last in self.ops_off):
            return b""
        prng = self._prng.stream(f"op {op}")
        client = self.client
        plan = client.plan
        action = prng.choice_index(plan.action_weights)
        if action == PUBLISH:
            client.publish(prng)
        elif action == BURST:
            for _ in range(1 + prng.below(self._burst_max)):
                client.publish(prng)
        elif action in (RESUBSCRIBE, UNSUBSCRIBE):
            if plan.subscriptions and not client.has_requests:
                subscription = plan.subscriptions[prng.below(len(plan.subscriptions))]
                if action == RESUBSCRIBE:
                    client.subscribe([subscription])
                else:
                    client.unsubscribe(subscription.topic_filter)
        elif action == DISCONNECT:
            will_key = client.will_key
            client.disconnect()
            return will_key
        elif action == DROP:
            client.drop()
        elif action == TAKE_OVER:
            client.connect(clean_start=False)
        elif action == START_CLEAN:
            client.connect(clean_start=True)
        elif action == DISCONNECT_FOR_GOOD:
            will_key = client.will_key
            client.disconnect_for_good()
            return will_key
        elif action == DISCONNECT_WITH_WILL:
            client.disconnect_with_will()
        elif action == BREAK_PROTOCOL:
            client.send_broken_bytes(prng)
        elif action == PING:
            client.ping()
        return b""
