"""``trialbook plot``."""

from __future__ import annotations

import csv
import io
import json

import pytest

from trialbook.cli.main import exit_code_of_command
from trialbook.report.figures.kinds import KINDS


@pytest.fixture
def run(recorded, capsys, tmp_path, monkeypatch):
    """Runs a command line on the recorded book, in an empty directory."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = exit_code_of_command([*arguments, "--storage", recorded.storage])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_the_kinds_are_listed(run):
    code, out, _ = run("plot", "--list", "--format", "json")
    assert code == 0
    assert [row["kind"] for row in json.loads(out)] == [kind.name for kind in KINDS]
    _, out, _ = run("plot", "--list", "--format", "csv")
    assert len(list(csv.DictReader(io.StringIO(out)))) == len(KINDS)
    assert all(kind.title in run("plot", "--list")[1] for kind in KINDS)


def test_the_path_goes_to_stdout_and_the_caption_to_stderr(run, tmp_path):
    code, out, err = run("plot", "digits", "history")
    assert (code, out) == (0, "digits-history.html\n")
    assert "complete trials" in err
    assert (tmp_path / "digits-history.html").is_file()


def test_a_hypervolume_has_the_reference_point_that_was_asked_for(run):
    point = ("--reference-point", "9", "--reference-point", "-1")
    code, _, err = run("plot", "two", "hypervolume", *point)
    assert code == 0
    assert "value 0 9, value 1 -1 (chosen)" in err
    assert run("plot", "two", "hypervolume", *point[:2])[0] == 2


def test_a_hostile_study_steers_neither_a_terminal_nor_a_path(run, recorded, tmp_path):
    code, out, err = run("plot", recorded.odd, "slice")
    assert code in (0, 2)
    assert "\x1b" not in out + err
    assert all(path.parent == tmp_path for path in tmp_path.rglob("*"))


def test_all_kinds_are_drawn_and_the_rest_has_reasons(run, tmp_path):
    code, out, err = run("plot", "digits", "--all", "figures", "--type", "html")
    assert code == 0
    written = [line.removeprefix("figures/").removesuffix(".html") for line in out.splitlines()]
    assert {"history", "timeline", "slice"} <= set(written)
    for kind in KINDS:
        assert (kind.name in written) != (f"no {kind.name}: " in err)


def test_a_study_without_trials_has_no_figure(run, tmp_path):
    code, out, err = run("plot", "empty", "--all", "figures", "--type", "html")
    assert (code, out) == (2, "")
    assert "no history: no trial has finished yet" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("digits", "front"), 2, "objective"),
        (("digits", "fornt"), 2, "did you mean front"),
        (("nowhere", "history"), 3, "nowhere"),
        (("digits",), 2, "--all"),
        ((), 2, "--list"),
        (("digits", "history", "-o", "figure.gif"), 2, ".pdf"),
        (("digits", "history", "--width", "neurip", "-o", "a.pdf"), 2, "neurips"),
        (("digits", "--all", "here", "-o", "a.pdf"), 2, "--output"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_wish_has_the_exit_code_of_the_design_and_the_next_step(
    run, tmp_path, arguments, code, said
):
    got, out, err = run("plot", *arguments)
    assert (got, out) == (code, "")
    assert said in err
    assert list(tmp_path.iterdir()) == []
