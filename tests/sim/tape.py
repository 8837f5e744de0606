"""Everything that the oracles of one run were told, to be told again with one lie in it.

A `Tape` stands where the promises of a run stand and passes everything on. `Tape.play` tells fresh promises the same facts
under the same numbers, with what a doctor changed.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Any

from quantum.core.mqtt.packets import Publish
from quantum.sim.marks import Marks
from quantum.sim.promises import Promises
from quantum.sim.published import Published
from quantum.sim.session_page import Session


@dataclass
class Told:
    """One fact, with what was known before it."""

    now_ms: int
    clock: int
    name: str
    arguments: list[Any]  # a session stands as its Client Identifier

    def packet(self) -> Publish:
        """Of a delivery or a publication."""
        found = next(argument for argument in self.arguments if isinstance(argument, Publish))
        return found

    def changed(self, **fields: Any) -> "Told":
        """The same with another packet."""
        packet = copy(self.packet())
        for name, value in fields.items():
            setattr(packet, name, value)
        arguments = [packet if isinstance(argument, Publish) else argument for argument in self.arguments]
        return self.changed_arguments(arguments)

    def changed_arguments(self, arguments: list[Any]) -> "Told":
        """The same fact of something else."""
        return Told(self.now_ms, self.clock, self.name, arguments)


# What a doctor makes of the facts: for a position, what is told in place of it.
Lie = dict[int, list[Told]]


class Tape:
    """Promises that remember what they were told."""

    inner: Promises
    told: list[Told]

    def __init__(self, marks: Marks | None = None) -> None:
        self.__dict__["inner"] = Promises(marks)
        self.__dict__["told"] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if not name.startswith("on_") and name not in ("finish", "check_retained", "session"):
            return found
        return self._remembering(name, found)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.inner, name, value)

    def _remembering(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def tell(*arguments: Any) -> Any:
            book = self.inner.book
            kept = [_kept(argument) for argument in arguments]
            self.told.append(Told(book.now_ms, book.clock, name, kept))
            return method(*arguments)

        return tell

    def play(self, lie: Lie) -> list[str]:
        """The laws that are broken when the lie is told."""
        promises = Promises()
        promises.is_time_even = self.inner.is_time_even
        for position, fact in enumerate(self.told):
            for told in lie.get(position, [fact]):
                promises.book.now_ms = told.now_ms
                promises.book.clock = max(promises.book.clock, told.clock)
                arguments = [
                    promises.sessions[argument.client_id] if isinstance(argument, Name) else _kept(argument)
                    for argument in told.arguments
                ]
                getattr(promises, told.name)(*arguments)
        return [violation.law for violation in promises.violations]

    # -- what a doctor asks ---------------------------------------------------------------------------------------

    def deliveries(self) -> list[tuple[int, Told, Session, Published, Publish]]:
        """(position, fact, session, message, packet) of live deliveries of what was published, no wills."""
        found: list[tuple[int, Told, Session, Published, Publish]] = []
        for position, fact in enumerate(self.told):
            if fact.name != "on_delivery":
                continue
            packet = fact.packet()
            message = self.inner.published.get(packet.payload)
            if message is not None and not packet.retain:
                found.append((position, fact, self.inner.sessions[fact.arguments[0].client_id], message, packet))
        return found


@dataclass(frozen=True)
class Name:
    """A session."""

    client_id: str


def _kept(argument: Any) -> Any:
    if isinstance(argument, Session):
        return Name(argument.client_id)
    return copy(argument) if isinstance(argument, Publish) else argument
