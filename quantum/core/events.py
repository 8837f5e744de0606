"""What operators are told: something that happened, in the past tense, with its cause where there is one."""

from dataclasses import dataclass, field
from typing import final

from quantum.core.causes import Cause


@final
@dataclass(slots=True)
class Event:
    """One line of the node's log. Core never logs; it appends one of these and the driver writes it."""

    name: str  # past tense, such as "session_opened"
    level: int  # 10 debug, 20 info, 30 warning, 40 error, as in the standard library's logging
    cause: Cause | None = None
    fields: dict[str, str | int] = field(default_factory=dict)
