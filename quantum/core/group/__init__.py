"""One replica of a replicated state machine: consensus over a log, the log on disk, the machine it drives.

This room knows neither MQTT nor tenants: whoever has a `StateMachine` (see `state_machine`) can replicate it.

How to drive a `Replica`, whose inputs and outputs are plain calls:

1.  `start` it with what its disk says, see `raft.recovered`.
2.  Feed it: `on_clock`, `on_message` with bytes of a peer, `propose` with a command.
3.  Have `take_records` made durable in their order, or let `write` put them into a `wal.writer`; tell `on_persisted`.
4.  Send what `take_messages` gives. Nothing comes out of it that the disk does not hold yet.
5.  `apply`, and take the effects with `take_applied`.

`node.storage` does this for all groups of a node over one log with snapshots, and boots them again.
"""

from quantum.core.group.replica import Replica

__all__ = ["Replica"]
