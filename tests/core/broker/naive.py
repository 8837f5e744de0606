"""Matching of a Topic Filter and a Topic Name without an index: what the trees are checked against."""


def is_match_of(topic_filter: str, topic_name: str) -> bool:
    """4.7 word by word, without a tree."""
    if topic_name.startswith("$") and topic_filter[0] in "+#":
        return False
    wanted = topic_filter.split("/")
    given = topic_name.split("/")
    for position, level in enumerate(wanted):
        if level == "#":
            return len(given) >= position
        if position >= len(given) or level not in ("+", given[position]):
            return False
    return len(wanted) == len(given)
