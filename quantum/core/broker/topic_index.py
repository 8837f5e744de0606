"""Topic Names in ascending order, in blocks, so that one more costs little and reading may stop and go on anywhere.

A wildcard filter is answered by leaps: where a name does not match, the next one that could is found by bisection, and
what a `#` covers is taken block by block. The order is that of Python's strings, the same on every node.
Source: MQTT 5.0 §4.7.
"""

from bisect import bisect_left, insort
from typing import Final, final

BLOCK_MAX: Final = 1024  # names; a longer block is cut in half
_BEHIND: Final = "\0"  # no Topic Name contains it [MQTT-4.7.3-2]: `name + _BEHIND` comes right behind `name`
_PAST: Final = "0"  # the character behind `/`: `levels + _PAST` comes right behind everything below `levels`
_PAST_DOLLAR: Final = "%"  # the character behind `$`


@final
class TopicIndex:
    """A sorted set of Topic Names."""

    __slots__ = ("_blocks", "_count", "_lasts")

    def __init__(self) -> None:
        self._blocks: list[list[str]] = []  # none is empty
        self._lasts: list[str] = []  # the last name of each block
        self._count = 0

    def add(self, name: str) -> None:
        """Enter a name that is not there."""
        self._count += 1
        blocks = self._blocks
        lasts = self._lasts
        if not blocks:
            blocks.append([name])
            lasts.append(name)
            return
        at = min(bisect_left(lasts, name), len(blocks) - 1)
        block = blocks[at]
        insort(block, name)
        if len(block) > BLOCK_MAX:
            half = len(block) >> 1
            blocks.insert(at + 1, block[half:])
            del block[half:]
            lasts.insert(at, block[-1])
            lasts[at + 1] = blocks[at + 1][-1]
        else:
            lasts[at] = block[-1]

    def remove(self, name: str) -> None:
        """Take out a name that is there."""
        self._count -= 1
        at = bisect_left(self._lasts, name)
        block = self._blocks[at]
        place = bisect_left(block, name)
        assert block[place] == name
        del block[place]
        if block:
            self._lasts[at] = block[-1]
        else:
            del self._blocks[at]
            del self._lasts[at]

    def __len__(self) -> int:
        return self._count

    def first_from(self, bound: str) -> str | None:
        """The first name that is not below `bound`."""
        at = bisect_left(self._lasts, bound)
        if at == len(self._blocks):
            return None
        block = self._blocks[at]
        return block[bisect_left(block, bound)]

    def span(self, bound: str, end: str, count_max: int) -> list[str]:
        """The first names from `bound` on and below `end` ("" for no end), at most `count_max`."""
        names: list[str] = []
        at = bisect_left(self._lasts, bound)
        while at < len(self._blocks) and len(names) < count_max:
            block = self._blocks[at]
            begin = 0 if names else bisect_left(block, bound)
            stop = bisect_left(block, end) if end else len(block)
            names += block[begin : min(stop, begin + count_max - len(names))]
            if stop < len(block):
                break
            at += 1
        return names

    def search(self, topic_filter: str, bound: str, steps_max: int) -> tuple[list[str], str | None, int]:
        """Some of the names from `bound` on that match a filter, ascending; the bound to go on from, None when there are
        no more; and how many names were looked at. The search may end at `steps_max` of these with nothing found."""
        levels = topic_filter.split("/")
        found: list[str] = []
        steps = 0
        next_bound: str | None = bound
        while next_bound is not None:
            if steps >= steps_max:
                return found, next_bound, steps
            name = self.first_from(next_bound)
            steps += 1
            if name is None:
                break
            next_bound, end = _look(name, levels)
            if end is None:
                continue
            if end == name:
                found.append(name)
                continue
            names = self.span(name, end, steps_max - steps + 1)
            steps += len(names) - 1
            found += names
            next_bound = names[-1] + _BEHIND
        return found, None, steps


def _look(name: str, levels: list[str]) -> tuple[str | None, str | None]:
    """Where to go on behind `name`, None for nowhere; and what matches: None for nothing, `name` itself, or the end of a
    span from `name` on that matches whole ("" for all there are)."""
    if name[0] == "$" and (levels[0] == "+" or levels[0] == "#"):
        return _PAST_DOLLAR, None  # [MQTT-4.7.2-1]
    parts = name.split("/")
    for depth, level in enumerate(levels):
        if level == "#":
            if depth == 0:
                return None, "$" if name < "$" else ""
            if len(parts) == depth:
                return name + _BEHIND, name  # `sport/#` also matches `sport`. 4.7.1.2
            return None, "/".join(parts[:depth]) + _PAST
        if depth == len(parts):
            # Between `name` and what is below it stand its longer namesakes, as `a-b` between `a` and `a/c`.
            return name + (_BEHIND if levels[depth - 1] == "+" else "/"), None
        if level != "+" and level != parts[depth]:
            return _leap(parts, levels, depth), None
    if len(parts) == len(levels):
        return name + _BEHIND, name
    return _leap_over(parts, levels, len(levels)), None


def _leap(parts: list[str], levels: list[str], depth: int) -> str | None:
    """The least bound behind a name that differs from the filter first at `depth`, a level without wildcard."""
    wanted = "/".join([*parts[:depth], levels[depth]])
    name = "/".join(parts)
    if name < wanted:
        return wanted
    if name < wanted + "/":
        return wanted + "/"
    return _leap_over(parts, levels, depth)


def _leap_over(parts: list[str], levels: list[str], depth: int) -> str | None:
    """The least bound behind everything that begins with the first levels of a name, down to the last `+` above `depth`:
    that level is the next one that may differ."""
    while depth > 0:
        depth -= 1
        if levels[depth] == "+":
            return "/".join(parts[: depth + 1]) + _PAST
    return None
