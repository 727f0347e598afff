"""The error tree: drawn whole in its docstring, rooted, picklable, and on three lines at most."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from trialbook import errors


def every_error():
    return [
        value
        for value in vars(errors).values()
        if inspect.isclass(value) and issubclass(value, errors.TrialbookError)
    ]


def test_the_drawing_names_every_error_and_its_builtin():
    drawn = dict(re.findall(r"([A-Z]\w+Error)(?: \((\w+)\))?", errors.__doc__))
    assert set(drawn) - {b for b in drawn.values() if b} == {e.__name__ for e in every_error()}
    for error in every_error():
        builtin = drawn[error.__name__]
        if builtin:
            assert any(base.__name__ == builtin for base in error.__mro__), error


@pytest.mark.parametrize("kind", every_error())
def test_an_error_crosses_processes_whole(kind):
    error = kind("it broke", where="book.db", hint="mend it")
    if kind is errors.SpecError:
        error = kind("it broke", problems=("one", "two"), where="book.db", hint="mend it")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_what_where_and_next_step_in_that_order():
    error = errors.NotFoundError("there is no study 'x'", where="book.db", hint="trialbook ls")
    assert str(error).splitlines() == [
        "there is no study 'x'",
        "  at: book.db",
        "  try: trialbook ls",
    ]
    assert isinstance(error, KeyError)
