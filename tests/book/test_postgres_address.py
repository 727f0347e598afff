"""What a server's storage URL says, and that no part of a password is shown of it."""

from __future__ import annotations

import pickle
from urllib.parse import quote

import pytest

from trialbook.book.book import Book
from trialbook.book.location import redacted_url
from trialbook.book.postgres_address import address_of
from trialbook.errors import InvalidInputError

SECRET = "s3cr3t-W0rd"
ENCODED = quote(f"@{SECRET}/?", safe="")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://lab/book", {"host": "lab", "dbname": "book"}),
        ("postgres://ada@lab:5433/b%20k", {"user": "ada", "port": "5433", "dbname": "b k"}),
        ("postgresql+psycopg://a%40b@lab/book", {"user": "a@b", "host": "lab"}),
        ("postgresql://one:1,two:2/book", {"host": "one,two", "port": "1,2"}),
        ("postgresql://[::1]:5432/book", {"host": "::1", "port": "5432"}),
        ("postgresql:///book?host=/run/pg", {"host": "/run/pg", "dbname": "book"}),
        ("postgresql:///?service=lab", {"service": "lab"}),
        ("postgresql://lab/book?connect_timeout=3", {"connect_timeout": "3"}),
        ("postgresql://lab/book?user=a@b", {"user": "a@b", "host": "lab"}),
    ],
)
def test_what_a_url_says(url: str, expected: dict[str, str]) -> None:
    parameters = dict(address_of(url).parameters)
    assert {key: parameters.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("url", "password"),
    [
        (f"postgresql://ada:{SECRET}@lab/book", SECRET),
        (f"postgresql://:{SECRET}@lab/book", SECRET),
        (f"postgresql://lab/book?password={SECRET}", SECRET),
        (f"postgresql://lab/book?p%61ssword={SECRET}", SECRET),
        (f"postgresql://lab/book?sslmode=prefer&password={SECRET}&user=ada", SECRET),
        (f"postgresql://ada:{ENCODED}@lab/book", f"@{SECRET}/?"),
        *((f"postgresql://ada:{sign + SECRET}@lab/book", sign + SECRET) for sign in "@:/?"),
    ],
)
def test_a_password_is_understood_and_shown_nowhere(url: str, password: str) -> None:
    address = address_of(url)
    assert address.secrets["password"].revealed() == password
    assert SECRET not in repr(address)
    assert SECRET not in redacted_url(url)
    assert "lab" in address.shown
    assert address_of(redacted_url(url)).secrets == {}
    with pytest.raises(TypeError):
        pickle.dumps(address.secrets["password"], protocol=1)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "empty"),
        ("pg_mine", "for itself"),
        ("Information_Schema", "for itself"),
        ("a" * 64, "longer"),
        ("é" * 32, "longer"),
        ("a%00b", "control|badly"),
        ("a%0Ab", "control"),
    ],
)
def test_schema_names_that_cannot_be(name: str, problem: str) -> None:
    with pytest.raises(InvalidInputError, match=problem):
        address_of(f"postgresql://lab/book?schema={name}")


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://ada:{SECRET}@lab:port/book",
        f"postgresql://ada:{SECRET}@lab/book?colour=blue",
        f"postgresql://ada:{SECRET}@lab/book?autocommit=yes",
        f"postgresql://ada:{SECRET}@lab/book?sslmode",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(url: str) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(InvalidInputError) as caught:
        Book.open(url)
    assert SECRET not in str(caught.value)
