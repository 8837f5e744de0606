"""Where crashes fell: effect kind × role × kill or power, as marks, so that a cell that is never hit is noticed.

A crash inside a turn's outputs falls after the destinations that were served and before the others; any crash falls
into the disk requests that are under way, each at one of its steps. Source: FAULTS §4.7.
"""

from typing import Final

from quantum.core.node.outputs import Outputs
from quantum.sim import inside
from quantum.sim.history import ROLE_NAMES
from quantum.sim.host import BY_KILL, Host
from quantum.sim.marks import Marks

RECOVERING: Final = "recovering"


def role_of(host: Host) -> str:
    """The role in which a process is hit."""
    node = host.node
    if node is None or not host.is_ready or not inside.is_started(node):
        return RECOVERING
    return "learner" if inside.is_learner(node) else ROLE_NAMES[inside.raft_of(node).role]


def how(model: int) -> str:
    """Kill, or power loss of any model."""
    return "kill" if model == BY_KILL else "power"


def note_crash(marks: Marks, host: Host, model: int) -> None:
    """A process ends: what its disk was doing."""
    cell = f"crash.{how(model)}.{role_of(host)}"
    requests = host.disk.active_steps()
    for name, step in requests:
        marks.sometimes(f"{cell}.in.{name}.{step}")
    if not requests:
        marks.sometimes(f"{cell}.in.peace")


def note_outputs(marks: Marks, host: Host, model: int, served: list[str], unserved: list[str]) -> None:
    """A process ends inside the outputs of a turn."""
    cell = f"crash.{how(model)}.{role_of(host)}"
    for name in dict.fromkeys(served):
        marks.sometimes(f"{cell}.after.{name}")
    for name in dict.fromkeys(unserved):
        marks.sometimes(f"{cell}.before.{name}")


def disk_kinds(out: Outputs, lane: int) -> list[str]:
    """What the requests of one lane are."""
    return [type(request).__name__ for request in out.disk if request.lane == lane]
