"""Studies as a figure or a table shows them: who they are, and their seals now."""

from __future__ import annotations

from collections.abc import Iterable

from trialbook.book.reading import Reader
from trialbook.book.seals import seal_of
from trialbook.records.figure_references import ShownStudy


def shown_studies(reader: Reader, names: Iterable[str]) -> tuple[ShownStudy, ...]:
    """The studies of these names, in their order.

    Raises:
        NotFoundError: There is no such study.
    """
    records = [reader.study(name) for name in names]
    return tuple(
        ShownStudy.of(record.name, record.uid, seal_of(reader.book, record.study_id))
        for record in records
    )
