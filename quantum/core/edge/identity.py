"""Who a connection is: anonymous, a verified certificate, or what an authentication mechanism says. 4.12"""

from typing import Final, Protocol

CONTINUE: Final = 0
SUCCESS: Final = 1
FAILURE: Final = 2


class Exchange(Protocol):
    """One run of an enhanced authentication."""

    def step(self, data: bytes) -> tuple[int, bytes, str]:
        """The client's Authentication Data → (CONTINUE, SUCCESS or FAILURE; data for the client; identity)."""
        ...


class Mechanism(Protocol):
    """An Authentication Method that this edge offers."""

    def begin(self, nonce: str) -> Exchange:
        """Start an exchange for one connection; `nonce` is printable ASCII without comma that no other one has."""
        ...
