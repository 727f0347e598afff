"""A declared input of a run, as it travels from the study file to the trial's process."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InputSpec:
    """A declared input: its path, and its digest (``sha256:...``) when it is declared too."""

    path: str
    digest: str | None = None
