"""Copies of a study that die at their N-th write call, each followed by one that goes on.

``python killed_copies.py PLACE SOURCE TARGET EVERY``: the study ``digits`` of the book SOURCE goes
into a book of each copy's own: files below PLACE, or schemas of the server TARGET. The points are
those of ``fatal.py``. One JSON line a kill point goes to standard output.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path

from sqlalchemy import select

from trialbook.book import schema
from trialbook.book.book import Book
from trialbook.book.copying import copy_study

if __package__:  # imported by a test, and not started
    from .fatal import Points
    from .kill_points import forked
else:
    from fatal import Points
    from kill_points import forked

_MOST_POINTS = 500


def copied(source: str, target: str) -> None:
    of, to = Book.open(source, create=False, read_only=True), Book.open(target, create=False)
    copy_study(of, to, "digits")
    to.close()
    of.close()


def victim(place: Path, source: str, target: str, fatal: int) -> None:
    os.dup2(os.open(place / "said", os.O_WRONLY | os.O_CREAT), 3)
    Points(fatal).install(place)
    copied(source, target)


def studies(target: str, said: Path) -> None:
    """Write down what the target holds of the study."""
    book = Book.open(target, create=False, read_only=True)
    with book.reading() as connection:
        found = {
            table.name: len(connection.execute(select(table)).all())
            for table in (schema.study, schema.trial, schema.attempt, schema.series)
        }
    book.close()
    said.write_text(json.dumps(found))


def main(place: Path, source: str, server: str, every: int) -> None:
    template = place / "template.db"
    assert forked(lambda: Book.open(template).close()) == 0
    for fatal in range(1, _MOST_POINTS, every):
        mine = place / str(fatal)
        mine.mkdir()
        target = f"{server}?schema=s{fatal}" if server else f"sqlite:///{mine / 'book.db'}"
        if server:
            assert forked(lambda: Book.open(target).close()) == 0  # noqa: B023 - runs at once
        else:
            shutil.copyfile(template, mine / "book.db")
        code = forked(lambda: victim(mine, source, target, fatal))  # noqa: B023
        if code not in (0, -signal.SIGKILL):
            sys.exit(f"the copy failed by itself at point {fatal}: {code}")
        assert forked(lambda: studies(target, mine / "found")) == 0  # noqa: B023
        line = {
            "point": fatal,
            "said": (mine / "said").read_text().strip(),
            "found": json.loads((mine / "found").read_text()),
            "successor": forked(lambda: copied(source, target)),  # noqa: B023
            "url": target,
        }
        print(json.dumps(line), flush=True)
        if code == 0:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
