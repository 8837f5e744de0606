"""What a replica is at the moment. Source: Raft figure 4; PRE_CANDIDATE from thesis §9.6."""

from typing import Final

FOLLOWER: Final = 0
PRE_CANDIDATE: Final = 1
CANDIDATE: Final = 2
LEADER: Final = 3
