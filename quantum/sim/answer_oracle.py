"""Whether a node says what is the matter with it: beyond the budget it may be of no use, but never in silence. Law L10.

Everything healed some seconds ago, and every process that runs is asked whether it is ready. Who has no leader is not, and
says why. Source: FAULTS §2.5, law FAIL CLOSED.
"""

from typing import Final, final

from quantum.core.node.outputs import AdminReply
from quantum.sim.book import Book

READY: Final = 200
NOT_READY: Final = 503


@final
class AnswerOracle:
    """Judges answers to `/readyz`."""

    __slots__ = ("_book",)

    def __init__(self, book: Book) -> None:
        self._book = book

    def on_answer(self, number: int, reply: AdminReply | None, *, is_led: bool) -> None:
        """What a running process answered, None where nothing came; and whether it knows a leader, or did lately."""
        asked = f"node {number} runs, and was asked whether it is ready"
        if reply is None:
            self._book.violate("L10", asked, "it did not answer")
            return
        reasons = (reply.body or {}).get("reasons")
        texts = [each for each in reasons if isinstance(each, str) and each] if isinstance(reasons, list) else []
        if reply.status == NOT_READY:
            self._book.sometimes("cluster.refusal.explained")
            if not texts:
                self._book.violate("L10", asked, "it answered that it is not, and gave no reason")
        elif reply.status != READY or texts:
            self._book.violate("L10", asked, f"it answered {reply.status} with the reasons {texts}")
        elif not is_led:
            self._book.violate("L10", f"node {number} has known no leader for seconds", "it answered that it is ready")
