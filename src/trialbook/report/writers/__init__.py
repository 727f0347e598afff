"""The writers of a document, one a format: each knows every block of ``document.py``.

A writer is a module with ``write(document, directory) -> tuple[Path, ...]``, the first path being
the one to open; those that take drawn figures have them as a third argument, so that formats of one
report share them. Which formats there are, and what they need, is here; a writer is imported when
it writes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from trialbook.report.document import Document


@dataclass(frozen=True, slots=True)
class ReportFormat:
    """A format of reports.

    Args:
        name: As ``trialbook report --format`` takes it.
        says: What it is for, on one line.
        needs: Packages of the extra ``paper`` that its writer imports.
        draws: Whether its writer takes drawn figures.
    """

    name: str
    says: str
    needs: tuple[str, ...] = ()
    draws: bool = False

    @property
    def module(self) -> str:
        """The writer's module."""
        return f"{__name__}.{_MODULES.get(self.name, self.name)}"

    @property
    def missing(self) -> tuple[str, ...]:
        """Needed packages that are not installed."""
        return tuple(name for name in self.needs if find_spec(name) is None)

    def write(self, document: Document, directory: Path, figures: object) -> tuple[Path, ...]:
        """Write a document under a directory.

        Args:
            document: What to write.
            directory: Where.
            figures: ``DrawnFigures`` that the formats of one report share.
        """
        writer: Callable[..., tuple[Path, ...]] = import_module(self.module).write
        return writer(document, directory, figures) if self.draws else writer(document, directory)


_MODULES = {"md": "markdown", "pdf": "typst"}

FORMATS: tuple[ReportFormat, ...] = (
    ReportFormat("html", "One page that opens offline, with interactive figures."),
    ReportFormat("md", "Markdown with its figures, for a repository.", ("matplotlib",), draws=True),
    ReportFormat("latex", "Fragments and macros for a paper.", ("matplotlib",), draws=True),
    ReportFormat("pdf", "A document to send.", ("matplotlib", "typst"), draws=True),
    ReportFormat("csv", "The table behind every figure, and every table."),
)
