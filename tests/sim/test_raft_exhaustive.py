"""Goal: every order of a few events keeps the laws. Method: small groups, explored until nothing within the budget is
left; the planted bugs that the search must find are in `raft_mutants`."""

import pickle

from quantum.core.raft.role import LEADER
from quantum.sim.raft_exhaustive import TIMEOUT, Budget, SmallWorld, explore, led_world


def test_one_election_in_every_order_keeps_the_laws() -> None:
    found = explore(SmallWorld(Budget(timeouts=1, proposals=0, crashes=0, in_flight=2)), 5_000)
    assert "" == found.law, found.facts
    assert found.is_complete
    assert 500 < found.state_count


def test_one_proposal_in_every_order_keeps_the_laws() -> None:
    found = explore(led_world(Budget(timeouts=0, proposals=1, crashes=0, in_flight=2)), 5_000)
    assert "" == found.law, found.facts
    assert found.is_complete
    assert 50 < found.state_count


def test_a_search_that_reaches_its_bound_says_so() -> None:
    found = explore(SmallWorld(Budget(timeouts=2, proposals=1, crashes=1)), 200)
    assert not found.is_complete
    assert 200 == found.state_count


def test_the_scripted_beginning_has_a_leader_whose_first_entry_everybody_has() -> None:
    world = led_world(Budget(0, 1, 0))
    assert LEADER == world.rafts[1].role
    assert [1, 1, 1] == [world.disks[node].held.last for node in (1, 2, 3)]
    assert 1 == world.rafts[1].commit_index


def test_a_copy_goes_its_own_way() -> None:
    world = SmallWorld(Budget(2, 0, 0))
    copy = pickle.loads(pickle.dumps(world))
    assert world.digest() == copy.digest()
    copy.step(TIMEOUT, 2)
    assert world.digest() != copy.digest()
    assert 2 == world.budget.timeouts
