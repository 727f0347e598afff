"""A document without names, hosts, paths and remotes, whatever text they got into.

Sections leave out what they know to be telling. This is the second line, and whatever is written
passes it: every text of the finished document is searched for what the records say of people,
machines and places, and for whatever looks like a path, an address or an e-mail (see
``replacements.py``). References lose the names of the studies. What the records do not know stays;
``LOOK_THROUGH`` says so wherever something anonymous is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any

import numpy as np

from trialbook.analysis.failures import failures_of
from trialbook.analysis.searches.asked import asked_searches
from trialbook.book.coordinate_rows import named_coordinates
from trialbook.book.identifying import identifying
from trialbook.book.reading import Reader
from trialbook.book.replicates import link, linked_studies, source_of
from trialbook.records.figure_references import FigureReference
from trialbook.records.study import StudyRecord
from trialbook.report.document import Document, Macro
from trialbook.report.macro_names import best_names
from trialbook.report.replacements import Replacements

LOOK_THROUGH = (
    "anonymous: names that the records do not know as such cannot be found. Class names, times, "
    "names and values of params and of the configuration, and names of metrics, inputs, artifacts "
    "and packages stay: search all files for your names before you send them"
)
"""What is told wherever something anonymous was written."""
THE_STUDY = "the study"
REPLICATES = "the replicates"
SOURCE = "the study that they are of"

_FIXED = frozenset({"name", "kind"})
"""Fields that hold words of the program, not of the study, in the classes named below."""
_FIXED_OF = frozenset({"Section", "TableBlock", "FigureBlock", "Chart", "Macro"})
_PLAIN = (bool, int, float, np.ndarray, np.generic, Enum, type(None))


def replacements(reader: Reader, studies: Sequence[str]) -> Replacements:
    """What to replace in what is told of studies, from the records of them and their replicates.

    Args:
        reader: The open book.
        studies: Names of the studies: of one, or of those that are compared.

    Raises:
        NotFoundError: There is no such study.
        BookCorruptError: A row cannot be read.
    """
    records = [reader.study(name) for name in studies]
    called = [THE_STUDY] if len(studies) == 1 else [f"study {n + 1}" for n in range(len(studies))]
    names = dict(zip(studies, called, strict=True))
    ids = dict.fromkeys(record.study_id for record in records)
    for record, stands in zip(records, called, strict=True):
        of = "" if len(studies) == 1 else f" of {stands}"
        for name in linked_studies(reader.book, record.uid):
            ids.setdefault(reader.study(name).study_id)
            names.setdefault(name, REPLICATES + of)
        linked = link(reader.book, record.study_id)
        if linked is not None:
            source = source_of(reader.book, linked)
            names.setdefault(source.then, SOURCE + of)
            if source.now is not None:
                ids.setdefault(reader.study(source.now).study_id)
                names.setdefault(source.now, SOURCE + of)
    found = identifying(reader.book, ids)
    return Replacements(names, found, _classes(reader, records), reader.book.url)


def _classes(reader: Reader, studies: Sequence[StudyRecord]) -> Iterator[str]:
    """Dotted names of classes that people wrote: samplers, pruners and exceptions."""
    for study in studies:
        if study.spec is not None:
            search = study.spec.search
            yield from (part.name for part in (search.sampler, search.pruner) if part is not None)
        named = named_coordinates(reader.book, study.study_id)
        for asked in asked_searches(reader, named):
            yield from (part.name for part in (asked.sampler, asked.pruner) if part is not None)
        for group in failures_of(reader, study.study_id).groups:
            if group.exception is not None:
                yield group.exception


def without_names(document: Document, names: Replacements) -> Document:
    """The document with every text replaced and every reference opaque; numbers and digests stay.

    Raises:
        TypeError: It holds a value that is no text, no number and no value of a document, of which
            nobody knows what it tells.
    """
    known: dict[str, str] = {}

    def text_of(text: str) -> str:
        # A digest, a state or a choice comes thousands of times.
        if text not in known:
            known[text] = names.applied(text)
        return known[text]

    def walked(value: Any) -> Any:
        if isinstance(value, _PLAIN):
            return value
        if isinstance(value, FigureReference):
            return _opaque(value, names)
        if isinstance(value, str):
            return text_of(value)
        if isinstance(value, tuple):
            return tuple(map(walked, value))
        if is_dataclass(value) and not isinstance(value, type):
            return _replaced(value, walked)
        raise TypeError(f"a document cannot hold a {type(value).__name__}")

    found: Document = walked(document)
    return replace(found, macros=_renamed(found.macros), anonymous=True)


def _replaced(value: Any, walked: Any) -> Any:
    fixed = _FIXED if type(value).__name__ in _FIXED_OF else ()
    changes = {
        field.name: walked(getattr(value, field.name))
        for field in fields(value)
        if field.name not in fixed
    }
    return replace(value, **changes)


def _opaque(reference: FigureReference, names: Replacements) -> FigureReference:
    """The reference without names of studies, and without options that tell a name."""
    made = reference.made
    given = (*made.params, *([] if made.metric is None else [made.metric]))
    if any(map(names.tells, given)):
        made = replace(made, params=(), metric=None, cut=True)
    return replace(reference, made=made).opaque()


def _renamed(macros: tuple[Macro, ...]) -> tuple[Macro, ...]:
    """Macros that are called after a param, called after what stands for it."""
    called = iter(best_names(macro.param for macro in macros if macro.param))
    return tuple(replace(one, name=next(called)) if one.param else one for one in macros)
