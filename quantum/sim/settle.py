"""The quiet phase of a run: what is broken heals, everybody comes back, and what was promised must come true.

It heals in one of three ways: everything at once; everything, but without a word from any client until the nodes agree
(what only a new entry could free stays stuck then); or a core of the nodes alone, while a minority stays broken for
good. Source: FAULTS §2.5, L1 to L6.
"""

from typing import Final

from quantum.core.mqtt.packets import V5, Subscription
from quantum.core.prng import Prng
from quantum.sim import inside
from quantum.sim.answer_oracle import AnswerOracle
from quantum.sim.clients import ClientPlan
from quantum.sim.host import Host
from quantum.sim.world import DEAD, DEAF, ISOLATED, MUTE, World

FULL: Final = 0
QUIET: Final = 1
CORE: Final = 2

QUIET_US: Final = 6_000_000  # the least length of the quiet period
CORE_US: Final = 18_000_000  # the same, where edges of lost nodes must be closed first, and wills wait for that
SETTLE_US: Final = 30_000_000  # the most: L2
AGREE_US: Final = 30_000_000  # until all nodes agree: L3, L6
READ_US: Final = 3_000_000  # until the reader of retained messages is served
REST_US: Final = 1_000_000  # for what it is sent after that
STEP_US: Final = 500_000
LEADERLESS_US: Final = 4_000_000  # after that a node has no excuse to call itself ready
STALLED_US: Final = 2_000_000  # without any delivery, though some are owed


def settle(world: World, way: int, prng: Prng) -> None:
    """Heal, wait, look. Violations are in the world's book."""
    world.heal()
    # A process that stands still is whole when it goes on.
    world.run_until(max(world.scheduler.now_us, *[host.paused_until_us for host in world.hosts.values()]))
    if not world.options.is_strict:
        # Beyond the budget nothing need come true; what comes must not be made up.
        world.call_back()
        world.run_until(world.scheduler.now_us + QUIET_US)
        _ask_all(world)
        return
    if not _everybody_votes(world):
        world.promises.violate("L4", "everything healed, and the operator asks for all to vote", _disagreement(world))
        return
    lost = _core_loses(world, prng) if way == CORE else []
    if way == QUIET:
        world.is_hushed = True
        if not _agree(world):
            world.promises.violate("L6", "everything healed, and no client says a word", _disagreement(world))
            return
        world.is_hushed = False
        world.marks.sometimes("heal.quiet")
    how = prng.below(4)
    for host in lost:
        world.lose_for_good(host, (DEAD, ISOLATED, MUTE, DEAF)[how])
    if lost:
        world.marks.sometimes(f"heal.core.{('dead', 'isolated', 'mute', 'deaf')[how]}")
    world.call_back()
    _wait(world, CORE_US if lost else QUIET_US)
    if not world.promises.violations:
        _read(world)
    if world.promises.violations:
        return
    if not _agree(world):
        world.promises.violate("L3", "everything healed long ago, and nothing is under way", _disagreement(world))
        return
    world.look_inside(has_leak_check=not (lost and how == DEAF))


def _ask_all(world: World) -> None:
    """Every process that runs says what is the matter with it. L10."""
    led_us = dict.fromkeys(world.hosts, world.scheduler.now_us)
    for _ in range(LEADERLESS_US // STEP_US):
        for host in _running(world):
            if host.node is not None and inside.raft_of(host.node).leader:
                led_us[host.number] = world.scheduler.now_us
        world.run_until(world.scheduler.now_us + STEP_US)
    asked = {host.number: host.incarnation for host in _running(world)}
    for host in _running(world):
        world.operator.ask_state(host)
    asked_us = world.scheduler.now_us
    world.run_until(asked_us + STEP_US)
    oracle = AnswerOracle(world.promises.book)
    for host in _running(world):
        if asked.get(host.number) == host.incarnation:
            is_led = asked_us - led_us[host.number] < LEADERLESS_US
            oracle.on_answer(host.number, world.operator.states.get(host.number), is_led=is_led)


def _running(world: World) -> list[Host]:
    return [host for host in world.hosts.values() if host.is_up and not host.is_gone and _takes_part(host)]


def _takes_part(host: Host) -> bool:
    return host.node is not None and inside.is_started(host.node)


def _everybody_votes(world: World) -> bool:
    """Insist on it."""
    limit_us = world.scheduler.now_us + AGREE_US
    while not world.operator.is_restored(world.leader()):
        if world.promises.violations or world.scheduler.now_us > limit_us:
            return False
        world.faults.restore_members()
        world.run_until(world.scheduler.now_us + STEP_US)
    return True


def _core_loses(world: World, prng: Prng) -> list[Host]:
    """A minority that stays broken; whoever is in doubt first, because the core must be able to go on without."""
    hosts = [host for host in world.hosts.values() if not host.is_gone]
    count = (len(hosts) - 1) // 2
    doubtful = [host for host in hosts if not _is_sure(world, host)]
    if not count or len(doubtful) > count:
        return []
    others = [host for host in hosts if host not in doubtful]
    order = prng.permutation(len(others))
    return [*doubtful, *[others[at] for at in order]][:count]


def _is_sure(world: World, host: Host) -> bool:
    """It runs, and needs nobody's word to vote."""
    node = host.node
    if node is None or not inside.is_started(node) or world.faults.budget.is_damaged(host.number):
        return False
    return host.is_ready and inside.is_whole(node, 0)


def _agree(world: World) -> bool:
    """All nodes are ready, one leads, and all have applied everything; waits for it."""
    limit_us = world.scheduler.now_us + AGREE_US
    while not world.promises.violations and world.scheduler.now_us < limit_us:
        if not _disagreement(world):
            return True
        world.run_until(world.scheduler.now_us + STEP_US // 5)
    return not world.promises.violations and not _disagreement(world)


def _disagreement(world: World) -> str:
    """What is not as it should be between the nodes that are not lost; "" when they agree."""
    leaders: list[int] = []
    indexes: dict[int, int] = {}
    for host in world.hosts.values():
        if host.is_gone:
            continue
        node = host.node
        if node is None or not host.is_ready:
            return f"node {host.number} is not ready at {world.promises.now_ms} ms"
        raft = inside.raft_of(node)
        if inside.is_leading(node):
            leaders.append(host.number)
        if not inside.applied_index(node) == raft.commit_index == raft.last_index:
            return (
                f"node {host.number} has applied {inside.applied_index(node)} of {raft.last_index} entries at "
                f"{world.promises.now_ms} ms, {raft.commit_index} of them committed"
            )
        indexes[inside.applied_index(node)] = host.number
    if len(leaders) != 1:
        return f"nodes {leaders} lead at {world.promises.now_ms} ms"
    return "" if len(indexes) == 1 else f"nodes have applied up to {sorted(indexes)} at {world.promises.now_ms} ms"


def _wait(world: World, least_us: int) -> None:
    """Everybody comes back, and all that is owed is delivered. L2."""
    promises = world.promises
    scheduler = world.scheduler
    start_us = scheduler.now_us
    world.run_until(start_us + least_us)
    while not promises.violations and not all(behaviour.is_done for behaviour in world.behaviours):
        if scheduler.now_us > start_us + least_us + SETTLE_US:
            late = [behaviour.client for behaviour in world.behaviours if not behaviour.is_done]
            promises.violate(
                "L2",
                f"everything healed at {start_us // 1000} ms",
                f"{late[0].plan.client_id} still waits at {scheduler.now_us // 1000} ms",
            )
            return
        world.run_until(scheduler.now_us + STEP_US)
    # Long queues take their time; what is owed is late when nothing moves any more.
    while not promises.violations and (promises.owed() or world.is_draining()):
        count = promises.delivery_count
        world.run_until(scheduler.now_us + STALLED_US)
        if count == promises.delivery_count:
            break


def _read(world: World) -> None:
    """A new client reads all retained messages, and the book is closed."""
    promises = world.promises
    reader = world.add_client(_reader_plan(len(world.clients)))
    reader.finds_retained = True
    world.behaviours[-1].begin_quiet(promises.now_ms)
    world.behaviours[-1].leaves = False
    world.behaviours[-1].has_said_last = True
    limit_us = world.scheduler.now_us + READ_US
    while not promises.violations and not reader.is_settled and world.scheduler.now_us < limit_us:
        world.run_until(world.scheduler.now_us + STEP_US)
    world.run_until(world.scheduler.now_us + REST_US)
    if promises.violations:
        return
    if not reader.is_settled:
        promises.violate("L2", "the node serves everybody", "a new client could not subscribe in 3 s")
    promises.finish()
    promises.check_retained(reader.plan.client_id, reader.retained)


def _reader_plan(number: int) -> ClientPlan:
    return ClientPlan(
        number=number,
        client_id="reader",
        version=V5,
        is_persistent=False,
        expiry_s=0,
        keep_alive_s=60,
        receive_maximum=65535,
        share_group="",
        subscriptions=[Subscription("r/#", 2)],
        topics=[],
        retained_topics=[],
        has_will=False,
        will_delay_s=0,
        qos_weights=[1, 0, 0],
        action_weights=[1],
        think_us_max=10_000,
        ack_delay_share=0,
        window=1,
        expiry_share=0,
        payload_bytes_max=1,
    )
