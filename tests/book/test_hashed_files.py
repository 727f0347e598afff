"""Digests of data files that workers have hashed."""

from __future__ import annotations

import threading
from dataclasses import replace

from sqlalchemy import func, select, update

from trialbook.book import schema
from trialbook.book.removal import collect_garbage
from trialbook.book.storage import BookStorage
from trialbook.records.data import HashedFile

FILE = HashedFile("k" * 64, "/data/train.bin", 2**40, 1_700_000_000_123_456_789, "a" * 64)


def _count(storage: BookStorage) -> int:
    with storage.book.reading() as connection:
        found: int = connection.scalar(select(func.count()).select_from(schema.hashed_file))
        return found


def test_what_was_learnt_is_known_to_others(url: str, storage: BookStorage) -> None:
    storage.learn_digests([FILE])
    other = BookStorage(url)

    assert other.known_digests([FILE.key, "m" * 64]) == {FILE.key: FILE.digest}
    assert other.known_digests([]) == {}
    other.close()


def test_another_digest_of_the_same_file_takes_the_place_of_the_first(
    storage: BookStorage,
) -> None:
    """As after ``--paranoid``, when a file was rewritten and its time set back."""
    storage.learn_digests([FILE])
    storage.learn_digests([replace(FILE, digest="b" * 64)])

    assert storage.known_digests([FILE.key]) == {FILE.key: "b" * 64}
    assert _count(storage) == 1


def test_thousands_are_learnt_and_asked_for_at_once(storage: BookStorage) -> None:
    files = [replace(FILE, key=f"{number:064}") for number in range(1200)]
    storage.learn_digests(files)

    assert len(storage.known_digests([file.key for file in files])) == 1200


def test_many_who_learn_the_same_do_not_disturb_each_other(url: str, storage: BookStorage) -> None:
    files = [replace(FILE, key=f"{number:064}") for number in range(50)]
    others = [BookStorage(url) for _ in range(4)]
    errors: list[Exception] = []

    def learn(other: BookStorage, order: int) -> None:
        try:
            other.learn_digests(files[::order])
        except Exception as error:
            errors.append(error)

    threads = [
        threading.Thread(target=learn, args=(other, 1 if index % 2 else -1))
        for index, other in enumerate(others)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in others:
        other.close()

    assert errors == []
    assert _count(storage) == 50


def test_collecting_forgets_what_is_older_than_a_year(storage: BookStorage) -> None:
    storage.learn_digests([FILE, replace(FILE, key="m" * 64)])
    with storage.book.writing() as connection:
        hashed = schema.hashed_file.c
        connection.execute(
            update(schema.hashed_file).where(hashed.key == FILE.key).values(at=hashed.at - 4e7)
        )

    collect_garbage(storage.book)

    assert storage.known_digests([FILE.key, "m" * 64]) == {"m" * 64: FILE.digest}
