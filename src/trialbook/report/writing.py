"""Writing a report: from a study's name to files in a directory, whole or not at all.

Everything that can be wrong with the wishes is found before anything is written. Files are written
beside the directory and moved into it when all are there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from trialbook.analysis.opening import Storage, StudyOrName, name_of, opened
from trialbook.book.reading import Reader
from trialbook.errors import InvalidInputError, MissingPackageError
from trialbook.report.anonymous import LOOK_THROUGH, replacements, without_names
from trialbook.report.building import build
from trialbook.report.document import Answer, Checklist, Document, Notice, Tone
from trialbook.report.file_names import slug_of
from trialbook.report.placing import placing
from trialbook.report.source import ReportOptions
from trialbook.report.wording import are, counted
from trialbook.report.writers import FORMATS, ReportFormat

COMPARISON = "comparison"
"""The default directory of a comparison."""


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """A report that was written.

    Args:
        directory: Where its files are.
        paths: The file to open of each format, in the order of the formats.
        files: All files.
        notices: What the reader of a terminal should know: what is missing or doubtful.
        document: What was written.
    """

    directory: Path
    paths: tuple[Path, ...]
    files: tuple[Path, ...]
    notices: tuple[str, ...]
    document: Document


def write(
    study: StudyOrName,
    formats: Sequence[str] = ("html",),
    output: str | os.PathLike[str] | None = None,
    *,
    anonymous: bool = False,
    verify: bool = False,
    storage: Storage = None,
) -> WrittenReport:
    """Write the report of a study.

    Args:
        study: Its name, or an Optuna study that lies in a book.
        formats: Any of ``html``, ``md``, ``latex``, ``pdf``, ``csv``.
        output: The directory, made when it is not there; ``None`` for one in the current directory
            that is named for the study.
        anonymous: Leave out the study's name, people, hosts, paths and remotes.
        verify: Compute every digest of the study again and say in the report what came out.
        storage: Where the book is; not with an Optuna study.

    Returns:
        What was written. The same book gives the same bytes, whenever and wherever it is written.

    Raises:
        InvalidInputError: A format is not known, or the output is no directory.
        MissingPackageError: A format needs packages that are not installed.
        NotFoundError: There is no such study.
        BookCorruptError: A row cannot be read.
        OutputError: The directory cannot be written.
    """
    wanted = _checked(formats)
    name = name_of(study)
    directory = _directory(output, directory_name(name, anonymous))
    options = ReportOptions(anonymous=anonymous, verify=verify)

    def made(reader: Reader) -> Document:
        return build(reader, name, options)

    return _report(opened(storage, study), made, directory, wanted, anonymous=anonymous)


def compare(
    studies: Sequence[str],
    formats: Sequence[str] = ("html",),
    output: str | os.PathLike[str] | None = None,
    *,
    anonymous: bool = False,
    storage: Storage = None,
) -> WrittenReport:
    """Write the comparison of several studies of one book; see ``analysis.compare``.

    Args:
        studies: Names of at least two studies with the same directions.
        formats: As in ``write``.
        output: The directory, made when it is not there; ``None`` for ``comparison`` in the
            current directory.
        anonymous: As in ``write``; studies are called by numbers.
        storage: Where the book is.

    Raises:
        NotApplicableError: Their objectives cannot be compared.
        InvalidInputError: Fewer than two studies, a format is not known, or the output is no
            directory.
        MissingPackageError: A format needs packages that are not installed.
        NotFoundError: There is no such study.
        OutputError: The directory cannot be written.
    """
    from trialbook.report.comparing import comparison_document

    wanted = _checked(formats)
    directory = _directory(output, COMPARISON)

    def made(reader: Reader) -> Document:
        return comparison_document(reader, studies, anonymous=anonymous)

    return _report(opened(storage), made, directory, wanted, anonymous=anonymous)


def told(reader: Reader, document: Document, *, anonymous: bool) -> Document:
    """A document as it may be told: whatever is written passes here, before any writer has it.

    Args:
        reader: The open book.
        document: Of one study or of several, with the references that lead to them.
        anonymous: Whether it must tell nobody's name.
    """
    if not anonymous:
        return document
    names = [study.name for study in document.reference.studies if study.name is not None]
    return without_names(document, replacements(reader, names))


def _directory(output: str | os.PathLike[str] | None, default: str) -> Path:
    directory = Path(default if output is None else output)
    if directory.exists() and not directory.is_dir():
        raise InvalidInputError(
            "the report's output is a file", where=str(directory), hint="name a directory"
        )
    return directory


def _report(
    book: AbstractContextManager[Reader],
    made: Callable[[Reader], Document],
    directory: Path,
    wanted: tuple[ReportFormat, ...],
    *,
    anonymous: bool,
) -> WrittenReport:
    """Make a document from the open book and write it, as it may be told."""
    with book as reader:
        document = told(reader, made(reader), anonymous=anonymous)
    with placing("the report", directory):
        paths, files = _written(document, directory, wanted)
    notices = [*notices_of(document), *_older(directory, files)]
    if document.anonymous:
        notices.append(LOOK_THROUGH)
    return WrittenReport(directory, paths, files, tuple(notices), document)


def _checked(formats: Sequence[str]) -> tuple[ReportFormat, ...]:
    """The formats in their own order, each once."""
    names = [formats] if isinstance(formats, str) else list(formats)
    known = {found.name: found for found in FORMATS}
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        what = f"unknown format: {', '.join(map(repr, unknown))}" if unknown else "no format given"
        raise InvalidInputError(what, hint=f"any of {', '.join(known)}")
    wanted = tuple(found for found in FORMATS if found.name in names)
    missing = sorted({package for found in wanted for package in found.missing})
    if missing:
        needing = ", ".join(found.name for found in wanted if found.missing)
        raise MissingPackageError(
            f"the format {needing} needs {', '.join(missing)}, which is not installed",
            hint="pip install 'trialbook[paper]'",
        )
    return wanted


def directory_name(study: str, anonymous: bool = False) -> str:
    """The default directory of a study's report: one safe part of a path, different by study."""
    if anonymous:
        return "study-report"
    return f"{slug_of(study)}-report"


def _written(
    document: Document, directory: Path, formats: tuple[ReportFormat, ...]
) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Write and move into place; the first file of each format, and all."""
    from trialbook.report.drawn_figures import DrawnFigures

    figures = DrawnFigures()
    with _neighbour(directory) as place:
        first: list[Path] = []
        found: list[Path] = []
        for one in formats:
            paths = [path.relative_to(place) for path in one.write(document, place, figures)]
            first += paths[:1]
            found += [path for path in paths if path not in found]
        _move(place, directory, found)
    return tuple(directory / path for path in first), tuple(directory / path for path in found)


@contextmanager
def _neighbour(directory: Path) -> Iterator[Path]:
    """An empty directory on the file system of another one; what is left in it goes at the end."""
    parent = directory.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    own = Path(tempfile.mkdtemp(prefix=".trialbook-report-", dir=parent))
    place = own / "report"
    place.mkdir()  # with the rights that new directories have here, not those of a private one
    try:
        yield place
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _move(place: Path, directory: Path, files: Sequence[Path]) -> None:
    """Put finished files into a directory that may hold others."""
    if not directory.exists():
        place.rename(directory.absolute())
        return
    for path in files:
        if (directory / path).is_dir():
            raise InvalidInputError(
                "a directory is in the place of a file of the report",
                where=str(directory / path),
                hint="move it away, or name another directory",
            )
    for path in files:
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        (place / path).replace(target)


def _older(directory: Path, files: tuple[Path, ...]) -> tuple[str, ...]:
    """What to say of other files below, which an earlier report may have left."""
    own = set(files)
    below = {path.parent for path in files if path.parent != directory}
    left = sorted(path for place in below for path in place.iterdir() if path.is_file())
    left = [path for path in left if path not in own]
    if not left:
        return ()
    counted_left = "1 other file" if len(left) == 1 else f"{len(left)} other files"
    return (f"{counted_left} in {left[0].parent} {are(len(left))} not of this report",)


def notices_of(document: Document) -> tuple[str, ...]:
    """What is missing or doubtful in a document, one line each."""
    notices = []
    missing = 0
    for section in document.sections:
        for block in section.blocks:
            if isinstance(block, Notice) and block.tone is Tone.WARNING:
                notices.append(f"{section.title}: {block.text}")
            elif isinstance(block, Checklist):
                missing += sum(item.answer is Answer.MISSING for item in block.items)
    if missing:
        notices.append(
            f"Checklist: {counted(missing, 'answer')} {are(missing)} MISSING; the report says what "
            "is needed"
        )
    return tuple(notices)
