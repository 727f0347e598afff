"""The seal: one digest over all trials of a study.

A Merkle tree hash as in RFC 6962, section 2.1: leaves are hashed with a zero byte in front, inner
nodes with a one byte, and a list is split at the largest power of two below its length.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


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
