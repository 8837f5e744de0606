"""Consensus: replicas of one group agree on a log, on disks that may lose what they held.

This room knows no clock, disk or network, nor what an entry means; many groups may share a node without its knowing.

How to drive a `raft.Raft`, after every input or a few of them:

1.  Feed it: `on_clock`, `on_message`, `propose`, `read_index`, `on_snapshot_received`; at boot `recovered.Recovered`.
2.  Make `take_records` durable in their order, a hard state in two separate writes, and tell `on_persisted`.
3.  Send `take_messages`, in any order, once, twice or never. What they say is durable: there is nothing to wait for.
4.  Apply `take_committed`, tell `on_applied`; answer `take_reads` once their index is applied.
5.  Bring a snapshot to whom `take_snapshots_wanted` names; `compact` when one of one's own is durable.
6.  Call `on_clock` at `next_deadline_ms`.

Where to read on: figure 2 of the paper is `election`, `following` and `leading`, on `log`, `quorum` and `durability`. A
leader's book-keeping is `leadership` and `progress`. What the paper does not have, because its disks keep what they
were given, is `doubt` (may something be missing at the end?), `repair` (something is missing in the middle) and
`mending`, which does what these two find out.
"""
