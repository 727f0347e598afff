"""From what a caller has (a name, an Optuna study, a storage URL) to a reader of the book.

Nothing is created: a book that is not there is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from trialbook.book.book import Book
from trialbook.book.reading import Reader
from trialbook.errors import InvalidInputError, NotABookError

if TYPE_CHECKING:
    import optuna

    from trialbook.book.storage import BookStorage

Storage: TypeAlias = "str | Path | Book | BookStorage | None"
"""A storage URL, the path of an SQLite book, an open book or storage, or ``None`` for the default
(``TRIALBOOK_STORAGE``, else ``.trialbook/book.db`` here or in a directory above)."""

StudyOrName: TypeAlias = "str | optuna.Study"


@contextmanager
def opened(storage: Storage = None, study: StudyOrName | None = None) -> Iterator[Reader]:
    """A reader of a book, closed at the end unless the caller had it open already.

    Args:
        storage: Where the book is; must be ``None`` when ``study`` is an Optuna study.
        study: An Optuna study brings its own book; its pending writes are flushed first.

    Raises:
        BookNotFoundError: There is no book at that place.
        NotABookError: The study lies in another storage of Optuna.
    """
    if study is not None and not isinstance(study, str):
        if storage is not None:
            raise InvalidInputError(
                "an Optuna study brings its own storage", hint="leave out storage="
            )
        storage = _book_storage(study)
    if storage is None or isinstance(storage, (str, Path)):
        book = Book.open(storage, create=False, read_only=True)
        try:
            yield Reader(book)
        finally:
            book.close()
    elif isinstance(storage, Book):
        yield Reader(storage)
    else:
        storage.flush()
        yield Reader(storage.book)


def name_of(study: StudyOrName) -> str:
    """The name of a study."""
    return study if isinstance(study, str) else study.study_name


def _book_storage(study: optuna.Study) -> BookStorage:
    from trialbook.book.storage import BookStorage

    storage = study._storage
    if isinstance(storage, BookStorage):
        return storage
    raise NotABookError(
        f"the study {study.study_name!r} lies in {type(storage).__name__}, which is not a book",
        hint="create it with storage=trialbook.BookStorage(URL)",
    )
