"""References: one line of ASCII that says the same again, whatever a study is called."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialbook.errors import BadReferenceError
from trialbook.records.figure_references import (
    REFERENCE,
    FigureReference,
    MadeWith,
    ShownStudy,
    figure_reference,
    study_key,
)

_digest = st.text("0123456789abcdef", min_size=64, max_size=64)
# Lone surrogates are refused as names of studies by every book.
_name = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
_study = st.builds(
    ShownStudy.of,
    _name,
    st.text("0123456789abcdef", min_size=32, max_size=32),
    st.none() | _digest,
)
_made = st.builds(
    MadeWith,
    params=st.lists(_name, max_size=3).map(tuple),
    objective=st.integers(0, 100),
    metric=st.none() | _name,
    reference_point=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3).map(
        tuple
    ),
    marks=st.none() | st.integers(0, 2**40),
    seed=st.integers(-(2**70), 2**70),
    width=st.none() | _name,
    verified=st.booleans(),
    cut=st.booleans(),
)
references = st.builds(
    FigureReference,
    _name,
    st.lists(_study, min_size=1, max_size=4).map(tuple),
    st.lists(st.integers(0, 2**31), max_size=5).map(tuple),
    _made,
)


@given(references)
def test_a_reference_is_read_as_it_was_written(reference):
    text = str(reference)

    assert figure_reference(text) == reference
    assert figure_reference(str(reference.opaque())) == reference.opaque()


@given(references)
def test_a_reference_is_found_whole_in_bytes_and_needs_no_escape_but_that_of_an_ampersand(
    reference,
):
    text = str(reference)

    assert REFERENCE.findall(b"(" + text.encode("ascii") + b")\n") == [text.encode("ascii")]
    assert not re.search(r"[\s\"'<>()\\{}#$^|]|--!?>", text)


@given(references)
def test_an_opaque_reference_names_no_study(reference):
    opaque = reference.opaque()

    assert all(study.name is None and study.uid is None for study in opaque.studies)
    assert [s.key for s in opaque.studies] == [study_key(s.uid or "") for s in reference.studies]
    assert "study=" not in str(opaque)
    assert "uid=" not in str(opaque)


def test_usual_options_are_not_carried_and_unknown_ones_are_passed_by():
    study = ShownStudy.of("digits", "1" * 32, None)
    old = f"trialbook:1?shows=slice&study=digits&uid={'1' * 32}&trial=3"
    made = MadeWith(params=("lr", "units 1"), seed=5, width="icml")

    assert str(FigureReference("slice", (study,), (3,))) == old
    assert figure_reference(f"{old}&palette=gray&param=") == FigureReference(
        "slice", (study,), (3,), MadeWith(params=("",))
    )
    assert (
        str(FigureReference("slice", (study,), (3,), made))
        == f"{old}&param=lr&param=units+1&seed=5&width=icml"
    )


@given(st.text(max_size=80) | references.map(str).map(lambda text: text[:-3]))
def test_any_other_text_is_refused_or_says_what_it_says(text):
    try:
        found = figure_reference(text)
    except BadReferenceError:
        return
    assert found.shows
    assert found.studies


@pytest.mark.parametrize(
    "text",
    [
        "",
        "trialbook:1?",
        "trialbook:1?shows=history",
        "trialbook:1?key=00",
        f"trialbook:1?shows=history&seal={'5' * 64}&key={'1' * 32}",
        f"trialbook:1?shows=history&key={'1' * 32}&trial=many",
        f"trialbook:2?shows=history&key={'1' * 32}",
        f"trialbook:1?shows=history&amp;key={'1' * 32}",
        f"trialbook:1?shows=history&key={'1' * 31}",
        f"trialbook:1?shows=history&key={'X' * 32}",
        f"trialbook:1?shows=history&key={'1' * 32}&seal={'5' * 63}",
        f"trialbook:1?shows=history&key={'1' * 32}&marks=-1",
        f"trialbook:1?shows=history&key={'1' * 32}&objective=first",
        f"trialbook:1?shows=history&key={'1' * 32}&seed=",
        f"trialbook:1?shows=history&key={'1' * 32}&point=nan",
        f"trialbook:1?shows={'h' * 201}&key={'1' * 32}",
    ],
)
def test_what_is_no_reference_is_refused(text):
    with pytest.raises(BadReferenceError):
        figure_reference(text)
