"""Figures as files: what they carry, and that the same chart gives the same bytes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the extra 'paper' is not installed")

from trialbook.errors import InvalidInputError, OutputError
from trialbook.records.figure_references import FigureReference, ShownStudy
from trialbook.report.carrying import html, pdf, png, svg
from trialbook.report.charts import Points
from trialbook.report.figure_files import ENDINGS, write_figure
from trialbook.report.venues import width_of

from .drawings import every_mark, one

REFERENCE = FigureReference(
    "history", (ShownStudy.of("a study/\u05d0 <b>", "f" * 32, "a" * 64),), (3, 7)
)
SIMPLE = one(Points(np.arange(3.0), np.arange(3.0), label="points"))
_READERS = {"html": html, "pdf": pdf, "png": png, "svg": svg}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_carries_its_reference_and_is_the_same_each_time(ending, tmp_path):
    paths = [tmp_path / f"{name}.{ending}" for name in ("one", "other")]
    for path in paths:
        write_figure(every_mark() if ending == "svg" else SIMPLE, REFERENCE, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with paths[0].open("rb") as file:
        found = _READERS[ending].carried(file)  # type: ignore[attr-defined]
    assert [carried.reference for carried in found.carried][:1] == [REFERENCE]
    assert sorted(tmp_path.iterdir()) == sorted(paths)


def test_a_pdf_embeds_its_fonts_as_type_42_and_says_no_time(tmp_path):
    write_figure(SIMPLE, REFERENCE, tmp_path / "figure.pdf")
    content = (tmp_path / "figure.pdf").read_bytes()
    assert b"/FontFile2" in content
    assert b"/Type3" not in content
    assert b"CreationDate" not in content


def test_a_picture_names_no_program_and_no_time(tmp_path):
    write_figure(SIMPLE, REFERENCE, tmp_path / "figure.svg")
    write_figure(SIMPLE, REFERENCE, tmp_path / "figure.png")
    assert not re.search(r"<dc:(date|creator)>", (tmp_path / "figure.svg").read_text())
    assert b"Software" not in (tmp_path / "figure.png").read_bytes()


def test_thousands_of_points_are_a_picture_inside_and_the_rest_is_not(tmp_path):
    rng = np.random.default_rng(0)
    points = Points(rng.random(8000), rng.random(8000), label="points")
    write_figure(one(points), REFERENCE, tmp_path / "many.svg", width_of("a4"))
    content = (tmp_path / "many.svg").read_text()
    assert content.count("<image") == 1
    assert 10 < content.count("<use") < 500


def test_what_could_not_be_drawn_is_said(tmp_path):
    notes = write_figure(
        one(Points(np.zeros(1), np.zeros(1), label="\U00012000")),
        REFERENCE,
        tmp_path / "figure.png",
    )
    assert notes == ("no font here has the characters U+12000: they are drawn as boxes",)


@pytest.mark.parametrize("name", ["figure", "figure.gif", "figure.png.txt"])
def test_an_ending_that_is_no_picture_is_refused(name, tmp_path):
    with pytest.raises(InvalidInputError, match="no figure can be written"):
        write_figure(SIMPLE, REFERENCE, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_figure_that_cannot_be_written_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "figure.svg"
    path.write_text("older")

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match="figure cannot be written: No space") as told:
        write_figure(SIMPLE, REFERENCE, path)
    assert told.value.where == str(path)
    assert "make room" in told.value.hint
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]
