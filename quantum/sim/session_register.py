"""Whether the server has a session for a Client Identifier: a register that only its client's CONNECTs read and write. M9.

One client connects, so its CONNECTs have an order, and the values that are possible are known at each instant; all that
is concurrent are strays: CONNECTs that the client left to themselves, which take effect whenever they arrive, if ever.
Each may do so any number of times here, which only allows more. A session that ends with its connection is none to the
next CONNECT. Source: MQTT 5.0 §3.1.2.4, §3.2.2.1.1.
"""

from typing import Final, final

NONE: Final = 1  # bits: a set of possible values
EXISTS: Final = 2


@final
class SessionRegister:
    """Of one Client Identifier."""

    __slots__ = ("_strays", "_values")

    def __init__(self) -> None:
        self._values = NONE
        self._strays = 0

    def may_be(self, value: int) -> bool:
        """A CONNECT may find that now."""
        return bool((self._values | self._strays) & value)

    def may_be_anew(self, may_have_expired: bool) -> bool:
        """The session that is there may be one that a stray began, after the one before had ended."""
        return bool(self._strays & EXISTS) and (may_have_expired or bool(self._values & NONE))

    def on_stray(self, is_lasting: bool) -> None:
        """A CONNECT was left to itself."""
        self._strays |= EXISTS if is_lasting else NONE

    def on_let_go(self) -> None:
        """Its client asked for its end, and does not know whether that arrived."""
        self._values |= NONE

    def on_connected(self, is_lasting: bool) -> None:
        """A CONNECT was answered: there is a session now, but does it outlive the connection?"""
        self._values = EXISTS if is_lasting else NONE
