"""The seal: one digest over all trials of a study.

A Merkle tree hash as in RFC 6962, section 2.1: leaves are hashed with a zero byte in front, inner
nodes with a one byte, and a list is split at the largest power of two below its length.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence


def merkle_root(leaves: Sequence[bytes]) -> str:
    """The root over the leaves in their order, 64 hexadecimal digits."""
    return _root([hashlib.sha256(b"\x00" + leaf).digest() for leaf in leaves]).hex()


def _root(hashes: list[bytes]) -> bytes:
    if not hashes:
        return hashlib.sha256(b"").digest()
    while len(hashes) > 1:
        pairs = zip(hashes[::2], hashes[1::2], strict=False)
        joined = [hashlib.sha256(b"\x01" + left + right).digest() for left, right in pairs]
        # RFC 6962 splits at a power of two, so an odd one out goes up a level as it is.
        hashes = joined + hashes[len(hashes) - len(hashes) % 2 :]
    return hashes[0]


def roots(leaves: Iterable[bytes]) -> Iterator[str]:
    """The root over no leaf, over the first one, over the first two, and so on.

    Of a list that grows, this tells when it had a root. One look at a thousandth leaf costs ten
    hashes, not a thousand: whole subtrees are kept, their sizes are the ones of its binary count.
    """
    yield _root([]).hex()
    subtrees: list[tuple[int, bytes]] = []
    for leaf in leaves:
        size, tree = 1, hashlib.sha256(b"\x00" + leaf).digest()
        while subtrees and subtrees[-1][0] == size:
            tree = hashlib.sha256(b"\x01" + subtrees.pop()[1] + tree).digest()
            size *= 2
        subtrees.append((size, tree))
        root = tree
        for _, left in reversed(subtrees[:-1]):
            root = hashlib.sha256(b"\x01" + left + root).digest()
        yield root.hex()
