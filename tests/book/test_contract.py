"""The contract of a book holds on both databases, and for whoever runs it as the docs say."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trialbook.book.storage import BookStorage
from trialbook.testing.contract import BookContract

PAGE = Path(__file__).parents[2] / "docs" / "testing-a-database.md"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """One book for all: the contract holds beside other studies."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('contract') / 'book.db'}"
        return
    server = request.getfixturevalue("postgres")
    with server.empty_database() as name:
        yield server.url(name)


class TestContract(BookContract):
    @pytest.fixture
    def book_url(self, shared_url: str) -> str:
        return shared_url


def test_it_runs_as_the_docs_show_and_says_what_is_broken(tmp_path: Path) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    url = f"sqlite:///{tmp_path / 'book.db'}"
    assert "postgresql://lab/scratch" in code
    (tmp_path / "test_my_database.py").write_text(code.replace("postgresql://lab/scratch", url))
    # One promise is broken on purpose.
    (tmp_path / "conftest.py").write_text(
        "from trialbook.book.leases import Leases\n"
        "Leases.renew = lambda self, worker_id, ids, lease_s: set(ids)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "reaped or total"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert re.search(r"^2 failed, \d+ passed", done.stdout, re.MULTILINE), done.stdout
    assert re.search(r"assert \{\d+\} == set\(\)", done.stdout)
    storage = BookStorage(url, create=False)
    assert storage.get_all_studies() == []
    storage.close()
