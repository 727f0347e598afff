"""``trialbook locate``: what it prints, in every format, and its exit codes."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest

from trialbook import analysis
from trialbook.cli.main import exit_code_of_command
from trialbook.records.figure_references import FigureReference, ShownStudy
from trialbook.report.carrying import html, text


@pytest.fixture
def run(recorded, capsys):
    """Runs ``trialbook locate`` on the recorded book; gives (exit code, stdout, stderr)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        words = ["locate", *map(str, arguments), "--storage", recorded.storage]
        code = exit_code_of_command(words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def figure(recorded, tmp_path) -> Path:
    """A file that carries references of a report and of a figure of the study ``digits``."""
    study = analysis.study("digits", storage=recorded.storage)
    shown = (ShownStudy.of(study.name, study.uid, None),)
    parts = [FigureReference("report", shown, (3,)), FigureReference("history", shown, (3,))]
    path = tmp_path / "figure.tex"
    path.write_text("".join(text.latex(each) + "\n" for each in parts))
    return path


@pytest.fixture
def hostile(recorded, tmp_path) -> Path:
    """A page of the study whose name would act upon a terminal, and of one of another book."""
    study = analysis.study(recorded.odd, storage=recorded.storage)
    here = ShownStudy.of(study.name, study.uid, "5e" * 32)
    other = ShownStudy.of("\x1b]0;gone\x07 =1+1", "e" * 32, None)
    path = tmp_path / "page.html"
    path.write_text(
        "<!doctype html><html>"
        + html.meta(FigureReference("report", (here,), (0, 7)))
        + f"<table {html.attribute(FigureReference('table:=x', (other,)))}></table></html>"
    )
    return path


def test_the_page_says_what_the_file_shows_and_how_to_make_it_again(run, recorded, figure):
    code, out, err = run(figure)
    lines = [line.split() for line in out.splitlines()]
    url = f"sqlite:///{recorded.storage}"

    assert (code, err) == (0, "")
    assert out.splitlines()[0] == str(figure)
    assert ["report", "digits"] in lines
    assert ["history", "digits"] in lines
    assert f"run again    trialbook rerun --storage {url} digits/3" in out
    made = [line for line in out.splitlines() if "make again" in line]
    assert [line.split(maxsplit=2)[2] for line in made] == [
        f"trialbook report --format latex --storage {url} digits"
    ]


def test_each_file_is_answered_and_the_exit_code_says_whether_all_were_found(run, figure, tmp_path):
    unknown = tmp_path / "unknown"
    unknown.write_text("something")

    code, out, err = run(figure, tmp_path / "no", unknown)

    assert code == 3
    assert "the file" in err
    assert "is not there" in err
    assert str(figure) in out
    assert f"{unknown}\n" in out
    assert "unknown      nothing in sqlite:" in out
    assert "looked for   its content" in out
    assert run(figure, figure)[0] == 0
    assert run(tmp_path)[0] == 2


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_no_name_reaches_a_terminal_or_a_spreadsheet_raw(run, recorded, figure, hostile, form):
    code, out, err = run(hostile, figure, recorded.directory / "train.csv", "--format", form)

    assert code == 3  # one study is of another book
    assert not set("\x1b\x07\u202e") & set(out + err)
    if form == "json":
        page, other, data = json.loads(out)
        assert page["shown"][0]["studies"][0]["name"] == recorded.odd
        assert page["shown"][0]["studies"][0]["standing"] == "different"
        assert [u["name"] for u in data["uses"]] == ["train.csv", "train"]
        assert other["digest"]
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(out)))
        assert {row["file"] for row in rows} >= {str(hostile), str(figure)}
        assert {row["standing"] for row in rows} == {"different", "not here", "not sealed", ""}
        of_figure = [row for row in rows if row["what"] == "history"]
        assert [row["command"].split()[1] for row in of_figure] == ["rerun"]
        assert [row["make_again"].split()[1] for row in of_figure] == ["report"]
        assert not any(None in row or None in row.values() for row in rows)
        assert not any(cell.startswith(("=", "+", "@")) for row in rows for cell in row.values())


def test_without_a_book_the_file_itself_is_quoted(figure, tmp_path, capsys):
    code = exit_code_of_command(
        ["locate", str(figure), str(tmp_path), "-", "--storage", str(tmp_path / "no.db")]
    )
    err = capsys.readouterr().err

    assert code == 3
    assert f"{figure} carries trialbook:1?shows=report&study=digits&uid=" in err
    assert "no.db" in err


def test_a_file_comes_through_a_pipe(run, figure, monkeypatch):
    reading, writing = os.pipe()
    with open(reading) as pipe, open(writing, "wb") as end:
        end.write(figure.read_bytes())
        end.close()
        monkeypatch.setattr("sys.stdin", pipe)
        code, out, err = run("-")

    assert code == 0, err
    assert out.startswith("-\n")
    assert "digits/3" in out
