"""Whose data a directory holds: the file that says so, written first and never changed."""

import json
from dataclasses import dataclass
from typing import Final, final

IDENTITY_FILE: Final = "node.json"
IDENTITY_BYTES_MAX: Final = 65_536
FORMAT_VERSION: Final = 2


class IdentityRefused(Exception):
    """The directory is not for this node, or not for this version; the text says which."""


@final
@dataclass(slots=True)
class Identity:
    """A fresh directory takes the one it is given; an existing one keeps its cluster and its first voters."""

    cluster_id: str
    node_id: str
    node: int = 1  # the node's number in its cluster
    voters: tuple[int, ...] = (1,)  # with which the cluster began


def encode_identity(identity: Identity) -> bytes:
    """The content of the identity file."""
    fields = {
        "cluster_id": identity.cluster_id,
        "format": FORMAT_VERSION,
        "node": identity.node,
        "node_id": identity.node_id,
        "voters": list(identity.voters),
    }
    return json.dumps(fields, sort_keys=True).encode() + b"\n"


def decode_identity(data: bytes, expected: Identity) -> Identity:
    """The identity in the file, which must be that of this node. Raises: IdentityRefused."""
    try:
        fields = json.loads(data)
        version = int(fields["format"])
        if version != FORMAT_VERSION:
            raise IdentityRefused(
                f"data of format {version}, this version reads {FORMAT_VERSION}: use the quantum that wrote it"
            )
        voters = tuple([int(node) for node in fields["voters"]])
        identity = Identity(str(fields["cluster_id"]), str(fields["node_id"]), int(fields["node"]), voters)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IdentityRefused(f"{IDENTITY_FILE} is unreadable ({error}): restore it from a copy") from error
    if (identity.node_id, identity.node) != (expected.node_id, expected.node):
        raise IdentityRefused(
            f"data of node {identity.node_id!r} with number {identity.node}, this is {expected.node_id!r} with number "
            f"{expected.node}: check paths.data_dir"
        )
    return identity
