"""Goal: what a seed's clients do is drawn so that runs can be shrunk, and so that the witnesses see everything. Method: plans
of many seeds, and behaviours that act without a server."""

import pytest

from quantum.core.prng import Prng
from quantum.sim.client_plan import NEVER_S, ClientPlan
from quantum.sim.clients import ONLINE, Client
from quantum.sim.network import Network, NetworkOptions
from quantum.sim.promises import Promises
from quantum.sim.scheduler import Scheduler
from quantum.sim.topic_match import is_match
from quantum.sim.workload import Behaviour, draw_plans, draw_workload


def plans_of(seed: int) -> list[ClientPlan]:
    """Of one seed."""
    root = Prng(seed)
    return draw_plans(root.stream("plans"), draw_workload(root.stream("workload"), False))


def behaviour_of(plan: ClientPlan) -> Behaviour:
    """One that is connected, as far as it knows."""
    scheduler = Scheduler(Prng(1))
    network = Network(Prng(2), NetworkOptions(), scheduler)
    client = Client(plan, Prng(3), network, Promises())
    client.connect(clean_start=False)
    client.state = ONLINE
    return Behaviour(client, Prng(4), 5)


def payloads(behaviour: Behaviour) -> list[bytes]:
    """What its client published, without the numbers."""
    published = behaviour.client._promises.published
    return [key.split(b" ", 2)[-1] for key in published]


def test_witnesses_owe_nothing_and_stay() -> None:
    for seed in range(40):
        for number, plan in enumerate(plans_of(seed)):
            assert number == plan.number
            if plan.client_id == "monitor" or plan.share_group:
                assert plan.expiry_s == (NEVER_S if plan.is_persistent else 0)
                assert plan.is_persistent or plan.share_group
                assert not plan.topics
                assert not plan.retained_topics
                assert not behaviour_of(plan).leaves


def test_every_seed_has_a_monitor_of_everything() -> None:
    for seed in range(40):
        monitor = plans_of(seed)[0]
        assert "monitor" == monitor.client_id
        assert ["#"] == [subscription.topic_filter for subscription in monitor.subscriptions]
        assert monitor.subscriptions[0].qos > 0


def test_many_seeds_draw_every_option() -> None:
    plans = [plan for seed in range(60) for plan in plans_of(seed)]
    subscriptions = [subscription for plan in plans for subscription in plan.subscriptions]
    assert [0, 1, 2] == sorted(dict.fromkeys(subscription.retain_handling for subscription in subscriptions))
    assert any(subscription.no_local for subscription in subscriptions)
    assert any(subscription.retain_as_published for subscription in subscriptions)
    assert any(number for plan in plans for number in plan.subscription_ids)
    assert any(plan.share_group == "h" for plan in plans)
    assert any(plan.alias_share and plan.alias_max for plan in plans)
    assert any(plan.packet_bytes_max for plan in plans)
    assert any(plan.has_will and plan.will_delay_s for plan in plans)
    assert any(plan.has_will and plan.is_will_retained for plan in plans)
    assert any(plan.expiry_s < 10 for plan in plans)


def test_operation_that_is_left_out_changes_none_behind_it() -> None:
    plan = next(plan for seed in range(40) for plan in plans_of(seed) if plan.topics and not plan.is_persistent)
    plan.action_weights = [1]
    plan.window = 1000
    whole, part = behaviour_of(plan), behaviour_of(plan)
    part.ops_off = [(2, 3)]
    for _ in range(8):
        whole.act(0)
        part.act(0)
    assert 8 == whole.op_count == part.op_count
    found = payloads(whole)
    assert [*found[:2], *found[4:]] == payloads(part)


def test_client_that_is_off_does_nothing() -> None:
    behaviour = behaviour_of(plans_of(1)[1])
    behaviour.is_off = True
    behaviour.act(0)
    assert behaviour.is_done
    assert 0 == behaviour.op_count


@pytest.mark.parametrize(
    ("topic_filter", "topic_name", "is_expected"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("a/+", "a/", True),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("#", "a/b", True),
        ("#", "$SYS/a", False),
        ("+/a", "$SYS/a", False),
        ("$SYS/#", "$SYS/a", True),
        ("+/+", "/a", True),
        ("+", "/a", False),
        ("$share/g/a/#", "a/b", True),
        ("$share/g/#", "$SYS/a", False),
    ],
)
def test_filter_matches_as_the_specification_says(topic_filter: str, topic_name: str, is_expected: bool) -> None:
    assert is_expected == is_match(topic_filter, topic_name)
