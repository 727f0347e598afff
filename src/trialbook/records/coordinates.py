"""The five coordinates that locate a result, and the snapshot that holds one of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from trialbook.records.canonical import canonical_bytes, digest_of_bytes, parsed
from trialbook.records.coverage import Coverage

State = TypeVar("State")


class Kind(StrEnum):
    """The five coordinates, in the order in which people read them."""

    CODE = "code"
    DATA = "data"
    CONFIG = "config"
    ENVIRONMENT = "environment"
    EXECUTION = "execution"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The content-addressed value of one coordinate; its digest is its name.

    Args:
        kind: Which coordinate.
        digest: SHA-256 of ``document``, 64 hexadecimal digits.
        document: Canonical JSON of kind, coverage and state.
        coverage: How complete the observation is.
    """

    kind: Kind
    digest: str
    document: bytes
    coverage: Coverage

    @classmethod
    def of(cls, kind: Kind, coverage: Coverage, state: object) -> Snapshot:
        """The snapshot of a state (one of the ``...State`` records of this package)."""
        document = canonical_bytes(
            {
                "kind": str(kind),
                "coverage": msgspec.to_builtins(coverage),
                "state": msgspec.to_builtins(state),
            }
        )
        return cls(kind, digest_of_bytes(document), document, coverage)

    @classmethod
    def from_document(cls, document: bytes) -> Snapshot:
        """The snapshot that was stored as this document."""
        value = parsed(document)
        return cls(
            Kind(value["kind"]),
            digest_of_bytes(document),
            document,
            msgspec.convert(value["coverage"], Coverage),
        )

    def state_as(self, kind: type[State]) -> State:
        """The state, as the record class given (``CodeState`` for code, and so on)."""
        return msgspec.convert(parsed(self.document)["state"], kind)

    @property
    def state(self) -> Any:
        """The state as plain JSON values, for printing."""
        return parsed(self.document)["state"]


@dataclass(frozen=True, slots=True)
class CoordinateDigests:
    """The digests of an attempt's five snapshots; ``None`` where none was captured."""

    code: str | None = None
    data: str | None = None
    config: str | None = None
    environment: str | None = None
    execution: str | None = None

    def of(self, kind: Kind) -> str | None:
        """The digest of one coordinate."""
        digest: str | None = getattr(self, kind.value)
        return digest
