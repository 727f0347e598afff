"""Contents of a book in the cache: whole and right, or fetched again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trialbook.errors import BookUnreachableError
from trialbook.records.canonical import digest_of_bytes
from trialbook.records.code import CodeState, FileEntry
from trialbook.restoring.code import restore_code
from trialbook.restoring.contents import KeptContents

FILES = [b"first\n", b"second\n" * 1000, b""]
DIGESTS = [digest_of_bytes(content) for content in FILES]


class Book:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def blob(self, digest: str) -> bytes:
        self.asked.append(digest)
        return FILES[DIGESTS.index(digest)]


def kept(directory: Path, book: Book) -> KeptContents:
    return KeptContents(directory / "contents", book.blob)


def silent(_: str) -> None:
    pass


def test_the_book_is_asked_once_for_each_content(tmp_path: Path) -> None:
    book = Book()
    kept(tmp_path, book).gather("code", DIGESTS, silent)
    later = kept(tmp_path, book)
    later.gather("code", DIGESTS, silent)
    assert [later.content(digest) for digest in DIGESTS] == FILES
    assert sorted(book.asked) == sorted(DIGESTS)


def test_of_workers_that_come_at_once_one_fetches(tmp_path: Path) -> None:
    book = Book()
    with ThreadPoolExecutor(8) as pool:
        done = [
            pool.submit(kept(tmp_path, book).gather, "code", DIGESTS, silent) for _ in range(16)
        ]
        for each in done:
            each.result()
    assert sorted(book.asked) == sorted(DIGESTS)


def test_what_is_damaged_or_was_cut_short_is_fetched_again(tmp_path: Path) -> None:
    book = Book()
    contents = kept(tmp_path, book)
    contents.gather("code", DIGESTS, silent)
    for content, digest in zip(FILES, DIGESTS, strict=True):
        place = tmp_path / "contents" / digest[:2] / digest
        place.write_bytes(content[:-3] + b"!")
    assert [contents.content(digest) for digest in DIGESTS] == FILES
    assert [kept(tmp_path, book).content(digest) for digest in DIGESTS] == FILES
    assert len(book.asked) == 2 * len(DIGESTS)


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    (tmp_path / "contents").write_text("a file in the place of the directory")
    book = Book()
    contents = kept(tmp_path, book)
    contents.gather("code", DIGESTS, silent)
    assert [contents.content(digest) for digest in DIGESTS] == FILES


def test_what_the_book_cannot_give_is_its_own_error(tmp_path: Path) -> None:
    def broken(digest: str) -> bytes:
        raise BookUnreachableError(f"no {digest}")  # an error of the system, too

    contents = KeptContents(tmp_path / "contents", broken)
    with pytest.raises(BookUnreachableError, match=DIGESTS[0]):
        contents.gather("code", DIGESTS, silent)
    entry = FileEntry("train.py", "100644", len(FILES[0]), DIGESTS[0], loaded=True)
    with pytest.raises(BookUnreachableError, match=DIGESTS[0]):
        restore_code(CodeState(None, (entry,)), contents.content, tmp_path / "code")


def test_a_cache_that_cannot_be_looked_into_costs_time_and_nothing_else(tmp_path: Path) -> None:
    book = Book()
    loop = tmp_path / "contents"
    loop.mkdir()
    for digest in DIGESTS:
        # A name that is too long for the system is refused to everybody, root included.
        (loop / digest[:2]).symlink_to("x" * 300)
    contents = kept(tmp_path, book)
    contents.gather("code", DIGESTS, silent)
    assert [contents.content(digest) for digest in DIGESTS] == FILES
