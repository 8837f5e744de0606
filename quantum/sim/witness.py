"""What replicas make of the log, seen entry by entry: one entry for each index everywhere, one outcome, one state.

A witness stands between a replica and its machine and passes everything on. The first replica that applies an entry
fixes it; all others, in all their lives, must agree (laws R6, R14). The reference model applies each entry once, and
what the first replica made of it is compared with what the model says (law MODEL).
"""

import zlib
from typing import Final, final

from quantum.core.broker.commands import Entry, decode_entry
from quantum.core.broker.effects import Effects
from quantum.core.broker.state import BrokerState
from quantum.core.group.replica import Replica
from quantum.core.state_machine import BucketCutter
from quantum.sim.comparison import compare, compare_edges, compare_state
from quantum.sim.model import Model
from quantum.sim.promises import Promises

DIGEST_EVERY: Final = 32  # entries from one comparison of whole states to the next
VIEWS_EVERY: Final = 8


@final
class Ledger:
    """What is known of every index, for all replicas of a run."""

    __slots__ = ("_digests", "_entries", "_model", "_outcomes", "applied_index", "book", "compared_count")

    def __init__(self, book: Promises, has_model: bool) -> None:
        self.book = book
        self.applied_index = 0  # the greatest that anybody applied
        self.compared_count = 0  # states held against each other
        self._entries: dict[int, tuple[int, int]] = {}  # index → checksum and size, the first replica to apply it
        self._outcomes: dict[int, tuple[int, ...]] = {}
        self._digests: dict[int, tuple[bytes, int]] = {}  # index → digest of the state, whose it was
        self._model: Model | None = Model() if has_model else None

    def knows(self, index: int) -> bool:
        """Somebody applied an entry there."""
        return index in self._entries

    def on_apply(self, node: int, index: int, data: bytes, effects: Effects, state: BrokerState | None) -> None:
        """A replica has applied an entry; `state` is what it came to, None when that is not known any more."""
        mark = zlib.crc32(data) << 32 | len(data)
        known = self._entries.get(index)
        outcome = outcome_of(effects)
        if known is None:
            self._entries[index] = (mark, node)
            self._outcomes[index] = outcome
            self.applied_index = index
            if self._model is not None:
                self._compare_model(node, index, data, effects, state)
        elif known[0] != mark:
            self.book.violate(
                "R6",
                f"node {known[1]} applied {known[0] & 0xFFFFFFFF} bytes {known[0] >> 32:08x} at {index}",
                f"node {node} applied {len(data)} bytes {mark >> 32:08x} there",
            )
        elif self._outcomes[index] != outcome:
            self.book.violate(
                "R14",
                f"entry {index} led to {self._outcomes[index]} on node {known[1]}",
                f"it led to {outcome} on node {node}",
            )
        if state is not None and index % DIGEST_EVERY == 0:
            self.on_state(node, index, state)

    def on_state(self, node: int, index: int, state: BrokerState) -> None:
        """The state of a replica that stands at an index, however it came there."""
        digest = state.digest()
        known = self._digests.get(index)
        if known is None:
            self._digests[index] = (digest, node)
            return
        self.compared_count += 1
        if known[0] != digest:
            self.book.violate(
                "R14",
                f"the state of node {known[1]} at entry {index} has digest {known[0].hex()[:16]}",
                f"that of node {node} has digest {digest.hex()[:16]}",
            )

    def _compare_model(self, node: int, index: int, data: bytes, effects: Effects, state: BrokerState | None) -> None:
        assert self._model is not None
        model = self._model
        entry: Entry = decode_entry(data)
        differences = compare(model.apply(entry), effects)
        if state is not None and index % VIEWS_EVERY == 0:
            differences += compare_state(model, state.session_view) + compare_edges(model, state)
        if differences:
            self.book.violate("MODEL", f"entry {index} on node {node} is {entry.commands}"[:400], differences[0][:400])


def outcome_of(effects: Effects) -> tuple[int, ...]:
    """An entry's effects in numbers that differ where the effects do, nearly always."""
    sends = 0
    for send in effects.sends:
        sends = (sends * 31 + send.packet_id + send.conn_id) & 0xFFFFFFFF
    routes = 0
    for _, route in effects.deliveries:
        routes += len(route.receivers)
    return (
        effects.stamp_ms,
        effects.is_refused,
        effects.edge << 32 | effects.incarnation,
        effects.forward_seq,
        len(effects.results),
        len(effects.closes),
        len(effects.deliveries),
        routes,
        len(effects.sends),
        sends,
    )


@final
class Witness:
    """Stands in for the machine of one replica."""

    __slots__ = ("_ledger", "_node", "_replayed", "_replica", "_state", "bucket_count", "cutter")

    def __init__(self, node: int, replica: Replica, state: BrokerState, ledger: Ledger) -> None:
        self._node = node
        self._replica = replica
        self._state = state
        self._ledger = ledger
        self._replayed: list[tuple[int, bytes, Effects]] = []
        self.bucket_count = state.bucket_count
        self.cutter: BucketCutter = state.cutter

    def apply(self, index: int, data: bytes, decoded: object) -> object:
        """Pass on, and note."""
        effects = self._state.apply(index, data, decoded)
        ledger = self._ledger
        if not self._replica.is_started and not ledger.knows(index):
            # A boot replays what it finds, and makes its end durable after that: until then it was not said to anybody.
            self._replayed.append((index, data, effects))
            return effects
        if self._replayed:
            replayed, self._replayed = self._replayed, []
            for each in replayed:
                ledger.on_apply(self._node, *each, None)
        ledger.on_apply(self._node, index, data, effects, self._state)
        return effects

    def encode_bucket(self, number: int) -> bytes:
        """Pass on."""
        return self._state.encode_bucket(number)

    def decode_bucket(self, number: int, data: bytes) -> None:
        """Pass on."""
        self._state.decode_bucket(number, data)

    def on_restored(self) -> None:
        """Pass on."""
        self._state.on_restored()
        self.cutter = self._state.cutter

    def reset(self) -> None:
        """Pass on."""
        self._state.reset()
        self.cutter = self._state.cutter

    def digest(self) -> bytes:
        """Pass on."""
        return self._state.digest()
