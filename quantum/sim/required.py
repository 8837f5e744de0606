"""What a campaign of each profile must have met, where no file says otherwise.

A world in which nothing happens is always clean. A case's share of runs says that the profile's ranges still make it; the
bounds stand at half of what is seen or less. A bound is held once a campaign is large enough for it: fifty seeds prove
something of what every second one has, and nothing of what one in fifty has.
"""

from dataclasses import dataclass
from typing import Final, final

from quantum.sim.marks import LEADER_CHANGE, SNAPSHOT_INSTALL, UNSYNCED_LOSS, Threshold
from quantum.sim.scenario import BEYOND, FAILOVER, LITE, MQTT, POWER, SOAK, STANDARD, STORAGE

MET_MIN: Final = 20  # runs that must meet a case: where the bound asks for fewer, chance may miss it


@final
@dataclass(slots=True)
class Case:
    """Something that must happen in a share of the runs."""

    name: str  # for people
    mark: str
    per_mille: int


_CONSENSUS: Final = (
    Case("leader changed", LEADER_CHANGE, 700),
    Case("snapshot of a peer installed", SNAPSHOT_INSTALL, 150),
    Case("unsynced bytes lost with the power", UNSYNCED_LOSS, 20),
    Case("membership changed", "lite.members.changed", 250),
    Case("log rotted", "lite.rot.batch", 150),
    Case("quorum alone healed", "lite.heal.core", 80),
    Case("healed without traffic", "lite.heal.quiet", 120),
)
_CLIENTS: Final = (
    Case("connection cut before PUBACK", "mqtt.qos1.cut-before-puback", 400),
    Case("connection cut before PUBREC", "mqtt.qos2.cut-before-pubrec", 400),
    Case("connection cut before PUBCOMP", "mqtt.qos2.cut-before-pubcomp", 300),
    Case("connection cut before a client's PUBREC", "mqtt.qos2.cut-before-our-pubrec", 15),
    Case("connection cut before PUBREL to a client", "mqtt.qos2.cut-before-pubrel", 400),
    Case("session taken over", "mqtt.client.takeover", 500),
    Case("session resumed", "mqtt.session.resumed", 500),
    Case("will due", "mqtt.will.due", 200),
)
_NODES: Final = (
    *_CLIENTS,
    Case("leader changed", "cluster.leader.changed", 400),
    Case("snapshot of a peer installed", "event.snapshot_installed", 15),
    Case("unsynced bytes lost with the power", UNSYNCED_LOSS, 50),
    Case("session resumed at another node", "mqtt.session.resumed-elsewhere", 500),
    Case("session taken over at another node", "mqtt.client.takeover-elsewhere", 300),
    Case("torn tail cut", "event.torn_tail_cut", 15),
    Case("damage repaired", "storage.damage.repaired", 100),
    Case("all clients in a hurry", "load.burst", 80),
    Case("hardly any traffic", "load.lull", 80),
)
_DISKS: Final = (
    Case("leader changed", "cluster.leader.changed", 400),
    Case("snapshot of a peer installed", "event.snapshot_installed", 15),
    Case("unsynced bytes lost with the power", UNSYNCED_LOSS, 80),
    Case("torn tail cut", "event.torn_tail_cut", 40),
    Case("connection cut before PUBACK", "mqtt.qos1.cut-before-puback", 300),
    Case("connection cut before PUBREC", "mqtt.qos2.cut-before-pubrec", 300),
    Case("connection cut before PUBCOMP", "mqtt.qos2.cut-before-pubcomp", 300),
    Case("session resumed at another node", "mqtt.session.resumed-elsewhere", 400),
)
_CASES: Final[dict[str, tuple[Case, ...]]] = {
    LITE: _CONSENSUS,
    STANDARD: _NODES,
    MQTT: _CLIENTS,
    SOAK: (),
    STORAGE: (
        *_DISKS,
        Case("damage named", "event.log_damaged", 350),
        Case("damage repaired", "storage.damage.repaired", 400),
    ),
    POWER: (*_DISKS, Case("damage repaired", "storage.damage.repaired", 80)),
    BEYOND: (),
    FAILOVER: (Case("leader changed", LEADER_CHANGE, 1000),),
}


def cases_of(profile: str) -> tuple[Case, ...]:
    """What a campaign of the profile is asked about."""
    return _CASES[profile]


def required_of(profile: str, run_count: int) -> list[Threshold]:
    """The same as thresholds, as far as a campaign of so many runs can be held to them."""
    return [
        Threshold(case.mark, per_mille=case.per_mille)
        for case in _CASES[profile]
        if run_count * case.per_mille >= MET_MIN * 1000
    ]
