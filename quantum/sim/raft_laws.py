"""How a lite run ends that broke a law."""

from typing import NoReturn


class LawBroken(Exception):
    """A law, what holds by it, and what was seen and contradicts that."""

    def __init__(self, law: str, holds: str, seen: str) -> None:
        super().__init__(f"{law}: {holds}; {seen}")
        self.law = law
        self.facts = (holds, seen)


def broken(law: str, holds: str, seen: str) -> NoReturn:
    """End the run."""
    raise LawBroken(law, holds, seen)
