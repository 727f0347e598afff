"""The Merkle root of a list, and of every beginning of it."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from trialbook.records.seal import merkle_root, roots


def _rfc_6962(leaves: list[bytes]) -> bytes:
    """Section 2.1, as it is written there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + _rfc_6962(leaves[:k]) + _rfc_6962(leaves[k:])).digest()


@given(st.lists(st.binary(max_size=4), max_size=40))
def test_roots_are_those_of_every_beginning(leaves):
    expected = [_rfc_6962(leaves[:count]).hex() for count in range(len(leaves) + 1)]

    assert list(roots(leaves)) == expected
    assert merkle_root(leaves) == expected[-1]
