"""Making again: the command that ``locate`` prints gives the same file, byte for byte."""

from __future__ import annotations

import shlex
from pathlib import Path

import optuna
import pytest
from optuna.trial import create_trial

from trialbook import report
from trialbook.book.storage import BookStorage
from trialbook.cli.main import exit_code_of_command
from trialbook.records.figure_references import FigureReference, MadeWith, ShownStudy
from trialbook.report.figures.kinds import FigureOptions
from trialbook.report.making_again import Commands, made_with

STUDY = ShownStudy.of("digits", "1" * 32, None)
OTHER = ShownStudy.of("-other", "2" * 32, None)


def made(
    shows: str, file: str, options: MadeWith | None = None, *, within: bool = False, n: int = 1
) -> str | None:
    """The command for a reference of the first ``n`` studies, without a book."""
    studies = (STUDY, OTHER)[:n]
    reference = FigureReference(shows, studies, (), options or MadeWith())
    names = [study.name or "" for study in studies]
    return Commands(None).make(reference, names, file, within=within)


@pytest.fixture
def again(shelf, tmp_path, monkeypatch, capsys):
    """Runs the command that ``locate`` prints for a file, elsewhere; gives the file it writes."""

    def again(path: Path) -> Path:
        shown = report.locate(path, storage=shelf.storage).shown
        commands = {each.draw for each in shown if each.page is None}
        assert len(commands) == 1, commands
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        monkeypatch.chdir(elsewhere)
        _, *words = shlex.split(str(commands.pop()))
        capsys.readouterr()
        assert exit_code_of_command(words) == 0
        return elsewhere / capsys.readouterr().out.splitlines()[0]

    return again


@pytest.mark.parametrize(
    ("study", "kind", "ending", "options"),
    [
        (
            "conditional",
            "slice",
            "png",
            {"params": ["svm.C"], "marks": 12, "seed": 5, "width": "icml", "anonymous": True},
        ),
        ("two_objectives", "edf", "svg", {"objective": 1, "width": "neurips"}),
        ("two_objectives", "hypervolume", "html", {"reference_point": [9.5, -0.1]}),
    ],
)
def test_a_figure_is_drawn_again_byte_for_byte(
    shelf, tmp_path, again, study, kind, ending, options
):
    path = tmp_path / f"figure.{ending}"
    report.plot(shelf.names[study], kind, path, storage=shelf.storage, **options)

    assert again(path).read_bytes() == path.read_bytes()


def test_a_table_is_written_again_byte_for_byte(shelf, tmp_path, again):
    name = shelf.names["empty"]
    report.write(name, ["csv"], tmp_path / "report", anonymous=True, storage=shelf.storage)

    path = tmp_path / "report" / "csv" / "states.csv"
    assert again(path).with_name(path.name).read_bytes() == path.read_bytes()


def test_a_comparison_is_written_again_byte_for_byte(shelf, tmp_path, again):
    names = [shelf.names["conditional"], shelf.names["single"]]
    report.compare(names, ["csv"], tmp_path / "c", storage=shelf.storage)

    path = tmp_path / "c" / "csv" / "settings.csv"
    assert again(path).with_name(path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("shows", "file", "command"),
    [
        ("slice", "html", "plot digits slice"),
        ("slice", "png", "plot -o digits-slice.png digits slice"),
        ("slice", "md", "report --format md digits"),
        ("slice", "csv", "report --format csv digits"),
        ("slice", "text", "plot digits slice"),
        ("table:space", "html", "report digits"),
        ("table:space", "pdf", "report --format latex digits"),
        ("table:space", "latex", "report --format latex digits"),
        ("report", "pdf", "report --format pdf digits"),
        ("report", "other", "report digits"),
        ("comparison", "pdf", "compare --write pdf -- digits -other"),
        ("comparison:seals", "pdf", "compare --write latex -- digits -other"),
        ("comparison:over-trials", "png", "compare --write md -- digits -other"),
    ],
)
def test_the_command_writes_the_kind_of_file_that_carries_the_reference(shows, file, command):
    several = shows.startswith("comparison")

    assert made(shows, file, n=2 if several else 1) == f"trialbook {command}"


def test_a_table_within_a_report_is_of_that_report():
    assert made("table:space", "pdf", within=True) == "trialbook report --format pdf digits"


def test_options_are_words_of_the_shell_and_none_of_them_another_option():
    options = MadeWith(
        params=("--all=x", "a b", "\x1b[31m"),
        metric="$(id)",
        reference_point=(-0.1, 1e-300),
        verified=True,
    )

    assert made("slice", "html", options) == (
        "trialbook plot --param=--all=x '--param=a b' $'--param=\\033[31m' '--metric=$(id)' "
        "--reference-point=-0.1 --reference-point=1e-300 digits slice"
    )
    assert made("report", "md", options) == "trialbook report --format md --verify digits"


def test_no_command_is_given_for_what_cannot_be_made():
    assert made("; rm -rf ~", "png") is None
    assert made("slice", "png", MadeWith(width="; rm")) is None
    assert made("slice", "png", MadeWith(cut=True)) is None
    assert made("table:space", "csv", MadeWith(cut=True)) is not None


def test_only_options_that_are_not_the_usual_ones_are_carried():
    assert made_with(FigureOptions()) == MadeWith()
    assert made_with(FigureOptions(objective=0, anonymous=True)) == MadeWith()
    assert made_with(FigureOptions(reference_point=(float("nan"), 1.0))).reference_point == (1.0,)


def test_names_that_are_too_long_are_left_out_and_that_is_said():
    options = FigureOptions(params=("lr", "digits"), metric="loss", seed=3)

    assert made_with(options, "icml") == MadeWith(("lr", "digits"), 0, "loss", seed=3, width="icml")
    assert made_with(FigureOptions(params=("x" * 20_000,))) == MadeWith(cut=True)


def test_the_name_of_the_study_is_in_no_reference_of_an_anonymous_figure(tmp_path):
    storage = BookStorage(tmp_path / "book.db")
    study = optuna.create_study(study_name="warmup", storage=storage)
    space = {"warmup": optuna.distributions.FloatDistribution(0, 1)}
    study.add_trials(
        [create_trial(params={"warmup": n / 9}, distributions=space, value=n) for n in range(9)]
    )
    path = tmp_path / "figure.html"
    report.plot(study, "slice", path, params=["warmup"], anonymous=True)
    found = report.locate(path, storage=storage)
    storage.close()

    assert "warmup" not in found.shown[0].reference
    assert found.shown[0].draw is None
    assert any("names of the params or the metric" in note for note in found.notes)
