"""``ls``, ``show``, ``best``, ``diff`` and ``artifacts`` on a book that real searches made."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from trialbook import analysis
from trialbook.book.book import Book
from trialbook.book.reading import Reader
from trialbook.book.reruns import add_rerun
from trialbook.cli.main import exit_code_of_command
from trialbook.records.verdict import RerunReport, ResultDifference, Verdict

from ..terminals import OnTerminal


@pytest.fixture
def run(recorded, capsys):
    """Runs a command line on the recorded book; gives (exit code, stdout, stderr)."""

    def run(*arguments: str, storage: str | None = None) -> tuple[int, str, str]:
        capsys.readouterr()
        code = exit_code_of_command([*arguments, "--storage", storage or recorded.storage])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def _strict(text: str):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


EVERYTHING = [
    ("ls",),
    ("show", "digits"),
    ("show", "digits/0"),
    ("show", "digits/2"),
    ("show", "two/0"),
    ("show", "empty"),
    ("show", "ODD"),
    ("show", "ODD/0"),
    ("show", "ODD/1"),
    ("show", "ODD/2"),
    ("best", "digits"),
    ("best", "ODD"),
    ("diff", "digits/0", "digits/4"),
    ("diff", "digits/0", "ODD/0"),
    ("artifacts", "digits/0"),
    ("artifacts", "two/0"),
    ("verify",),
    ("gc", "--dry-run"),
    ("doctor",),
]


@pytest.mark.parametrize("form", ["table", "json", "csv"])
@pytest.mark.parametrize("arguments", EVERYTHING, ids=" ".join)
def test_nothing_recorded_reaches_a_terminal_raw_and_every_format_is_what_it_says(
    run, recorded, arguments, form
):
    arguments = [text.replace("ODD", recorded.odd) for text in arguments]
    code, out, err = run(*arguments, "--format", form)
    assert code == 0
    for text in (out, err):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    if form == "json":
        _strict(out)
    if form == "csv":
        rows = list(csv.reader(io.StringIO(out)))
        assert len({len(row) for row in rows}) == 1
        assert len(rows) == out.count("\n")
        for cell in (cell for row in rows for cell in row):
            assert not re.match(r"[=+@]|-(?!\d|inf)", cell), cell


def test_ls_lists_studies(run, recorded):
    code, out, _ = run("ls", "--format", "csv")
    rows = {row["study"]: row for row in _rows(out)}
    assert code == 0
    assert rows["digits"]["trials"] == "8"
    assert (rows["digits"]["complete"], rows["digits"]["pruned"], rows["digits"]["fail"]) == (
        "6", "1", "1",
    )  # fmt: skip
    assert rows["two"]["directions"] == "minimize maximize"
    assert rows["two"]["best_value"] == rows["empty"]["best_trial"] == ""
    best = analysis.trial("digits/best", storage=recorded.storage)
    assert float(rows["digits"]["best_value"]) == best.values[0]
    odd = next(row for row in _strict(run("ls", "--format", "json")[1]) if row["study"][0] == "a")
    assert odd["best_value"] == {"$float": "inf"}
    assert odd["study"] == recorded.odd


def test_an_empty_book_says_so_on_stderr(run, tmp_path):
    storage = str(tmp_path / "new.db")
    assert run("storage", "init", storage=storage)[0] == 0
    assert run("ls", storage=storage) == (0, "", "the book holds no study yet\n")
    assert run("ls", "--format", "json", storage=storage)[1] == "[]\n"


def test_show_study_has_its_head_and_every_trial(run, recorded):
    code, out, err = run("show", "digits")
    assert (code, err) == (0, "")
    assert "8: 6 complete, 1 pruned, 1 fail" in out
    assert re.search(r"sampler +TPESampler", out)
    assert re.search(r"isolation +none: in the process that called study.optimize", out)
    assert re.search(r"seal +[0-9a-f]{64}\n", out)
    assert len(re.findall(r"^ +\d  [A-Z]+ ", out, re.MULTILINE)) == 8
    document = _strict(run("show", "digits", "--format", "json")[1])
    assert document["study"]["name"] == "digits"
    assert [t["number"] for t in document["trials"]] == list(range(8))
    assert document["trials"][0]["metrics"]["nan"] == {"$float": "nan"}
    assert document["seal"] in out
    rows = _rows(run("show", "digits", "--format", "csv")[1])
    assert [row["number"] for row in rows] == [str(n) for n in range(8)]
    assert {row["params_kind"] for row in rows} <= {"'=1+1", "b", "null"}
    assert rows[2]["value"] == ""


def test_show_study_can_be_limited_and_says_what_it_left_out(run):
    _, out, err = run("show", "digits", "--limit", "2")
    assert re.findall(r"^ +(\d)  [A-Z]+ ", out, re.MULTILINE) == ["6", "7"]
    assert err == "the last 2 of 8 trials; --limit 0 shows all\n"
    assert len(_strict(run("show", "digits", "-n", "3", "--format", "json")[1])["trials"]) == 3


def test_show_an_empty_study_and_one_of_plain_optuna(run, recorded):
    code, out, _ = run("show", "empty")
    assert code == 0
    assert "not made by Trialbook" in out
    assert _strict(run("show", "empty", "--format", "json")[1])["trials"] == []
    out = run("show", recorded.odd)[1]
    assert re.search(r"0  COMPLETE +inf .* not tracked", out)
    assert re.search(r"2  WAITING", out)


def test_show_trial_has_everything(run):
    code, out, err = run("show", "digits/0")
    assert (code, err) == (0, "")
    sections = re.findall(r"^([A-Z]+)$", out, re.MULTILINE)
    assert sections == ["PARAMS", "COORDINATES", "METRICS", "ARTIFACTS", "ATTEMPTS", "STDOUT"]
    for kind in ("code", "data", "config", "environment", "execution"):
        assert re.search(rf"^  {kind} +(complete|partial) +[0-9a-f]{{12}} ", out, re.MULTILINE)
    assert re.search(r"^  x +0\.\d+ +0\.0 \.\. 1\.0$", out, re.MULTILINE)
    assert re.search(r"^  depth +\d +1 \.\. 4$", out, re.MULTILINE)
    assert re.search(r"^  kind .* \{=1\+1, b, null\}$", out, re.MULTILINE)
    assert re.search(r"^  loss +4 +0\.\d+ .* 0\.\.3$", out, re.MULTILINE)
    assert re.search(r"^  nan +4 +nan +0\.\.3$", out, re.MULTILINE)
    assert re.search(r"^  model\.txt +7 B +text/plain +[0-9a-f]{64}$", out, re.MULTILINE)
    assert "  trial 0 \\x1b[31mred\\x1b[0m\n" in out


def test_show_a_failed_trial_has_its_traceback_and_no_more_console_than_asked(run):
    out = run("show", "digits/2")[1]
    assert "TRACEBACK" in out
    assert "ValueError: no \\x1b]0;title\\x07 luck" in out
    assert "STDOUT" in out
    assert "STDOUT" not in run("show", "digits/2", "--lines", "0")[1]


def test_show_trial_as_json_has_the_whole_record(run, recorded):
    document = _strict(run("show", "digits/0", "--format", "json")[1])
    trial = analysis.trial("digits/0", storage=recorded.storage)
    assert document["trial"]["record_digest"] == trial.record_digest
    assert document["coordinates"]["config"]["state"]["resolved"] == {
        "model": {"epochs": 5, "width": 3}
    }
    code = document["coordinates"]["code"]["state"]["files"]
    assert "search.py" in {entry["path"] for entry in code}
    assert document["console"]["stdout"] == "trial 0 \x1b[31mred\x1b[0m\n"
    names = {p["name"]: p["distribution"]["name"] for p in document["trial"]["params"]}
    assert names["kind"] == "CategoricalDistribution"


def test_show_says_what_was_not_tracked(run):
    out = run("show", "two/0")[1]
    assert re.search(r"attempts +not tracked", out)
    assert out.count("- not tracked") == 5
    assert "values      1.0, 1.0" in out


def test_a_damaged_record_is_still_shown_as_far_as_it_goes(run, recorded, tmp_path):
    shutil.copytree(Path(recorded.storage).parent, tmp_path / "book")
    path = tmp_path / "book" / "book.db"
    connection = sqlite3.connect(path)
    connection.execute("UPDATE tb_snapshot SET document = '{}' WHERE kind = 'code'")
    connection.execute("DELETE FROM tb_blob WHERE CAST(content AS TEXT) LIKE 'trial %'")
    connection.commit()
    connection.close()
    code, out, _ = run("show", "digits/0", storage=str(path))
    assert code == 0
    assert "a snapshot is not what its digest says" in out
    assert re.search(r"CONSOLE\n  cannot be read: the blob \w+ is not in the book", out)


def test_stored_verdicts_are_shown(run, recorded, tmp_path):
    shutil.copytree(Path(recorded.storage).parent, tmp_path / "book")
    path = tmp_path / "book" / "book.db"
    book = Book.open(path)
    attempt = Reader(book).trial("digits/0").attempt
    difference = ResultDifference("point", "loss", 1.5, 2.5, step=3, index=3)
    report = RerunReport("digits/0", Verdict.DIFFERENT, points=9, differences=(difference,))
    add_rerun(book, attempt.attempt_id, report, "elsewhere")
    book.close()
    out = run("show", "digits/0", storage=str(path))[1]
    assert re.search(r"different +elsewhere +9 points.*point loss at step 3: 1\.5, now 2\.5", out)
    document = _strict(run("show", "digits/0", "--format", "json", storage=str(path))[1])
    assert document["trial"]["reruns"][0]["report"]["verdict"] == "different"


def test_what_is_not_there_is_exit_3_and_what_names_nothing_is_exit_2(run):
    assert run("show", "digit")[0] == 3
    assert "did you mean 'digits'?" in run("show", "digit")[2]
    for arguments in (
        ("show", "digits/99"),
        ("best", "nothing"),
        ("best", "empty"),
        ("show", "empty/best"),
        ("diff", "digits/0", "digits/99"),
        ("artifacts", "digits/99"),
        ("artifacts", "digits/0", "--get", "model"),
        ("verify", "nothing"),
    ):
        code, out, err = run(*arguments)
        assert (code, out) == (3, ""), arguments
        assert err.startswith("error: ")
        assert len(err.splitlines()) <= 3
    assert "'model.txt'" in run("artifacts", "digits/0", "--get", "model")[2]
    assert run("diff", "digits", "digits/1")[0] == 2
    assert run("show", "two/best")[0] == 2


def test_best_ranks(run, recorded):
    rows = _strict(run("best", "digits", "-n", "3", "--format", "json")[1])
    values = [row["values"][0] for row in rows]
    assert len(rows) == 3
    assert values == sorted(values)
    lines = run("best", "digits", "-n", "2")[1].splitlines()
    assert lines[0].split()[:2] == ["RANK", "TRIAL"]
    assert lines[1].split()[:2] == ["1", str(rows[0]["number"])]


def test_best_of_several_objectives_lists_the_front_and_refuses(run):
    code, out, err = run("best", "two")
    assert code == 2
    assert [line.split()[0] for line in out.splitlines()] == ["TRIAL", "0", "1"]
    assert "2 objectives" in err
    code, out, _ = run("best", "two", "--format", "json")
    assert (code, [row["number"] for row in _strict(out)]) == (2, [0, 1])


def test_diff_shows_params_code_data_and_config(run):
    code, out, err = run("diff", "digits/0", "digits/4")
    assert (code, err) == (0, "")
    assert "  changed: search.py (loaded)\n" in out
    assert "\n-FACTOR = 1\n+FACTOR = 2\n" in out
    assert re.search(r"model\.epochs +5 +6", out)
    assert re.search(r"DATA\n.*\n  train +[0-9a-f]{64} +[0-9a-f]{64}", out)
    rows = _rows(run("diff", "digits/0", "digits/4", "--format", "csv")[1])
    sections = {row["section"] for row in rows}
    assert {"param", "result", "metric", "config", "data", "code"} <= sections
    document = _strict(run("diff", "digits/0", "digits/4", "--format", "json")[1])
    assert "+FACTOR = 2" in next(
        file["patch"] for file in document["code"] if file["path"] == "search.py"
    )


def test_diff_says_when_nothing_differs_or_nothing_is_known(run):
    assert "nothing differs" in run("diff", "digits/0", "digits/0")[2]
    assert "not compared: code of two/0: not tracked" in run("diff", "digits/0", "two/0")[2]


def test_an_artifact_is_fetched_to_where_it_was_asked(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    listed = _rows(run("artifacts", "digits/0", "--format", "csv")[1])
    assert [(row["name"], row["size_bytes"]) for row in listed] == [("model.txt", "7")]
    code, out, err = run("artifacts", "digits/0", "--get", "model.txt")
    assert (code, out) == (0, "")
    content = (tmp_path / "model.txt").read_bytes()
    assert content == b"model 0"
    assert hashlib.sha256(content).hexdigest() == listed[0]["digest"]
    assert listed[0]["digest"] in err
    (tmp_path / "there").mkdir()
    for output in ("there", "other.txt"):
        assert run("artifacts", "digits/0", "--get", "model.txt", "-o", output)[0] == 0
    assert (tmp_path / "there" / "model.txt").read_bytes() == content
    assert (tmp_path / "other.txt").stat().st_mode & 0o777 == 0o644


def test_an_artifact_replaces_a_file_only_when_forced(run, tmp_path):
    target = tmp_path / "mine"
    target.write_text("precious")
    arguments = ("artifacts", "digits/0", "--get", "model.txt", "-o", str(target))
    code, _, err = run(*arguments)
    assert code == 2
    assert "--force" in err
    assert target.read_text() == "precious"
    assert run(*arguments, "--force")[0] == 0
    assert target.read_text() == "model 0"
    assert run("artifacts", "digits/0", "-o", "x")[0] == 2
    code, _, err = run(*arguments[:-1], str(tmp_path / "none" / "x"))
    assert code == 1
    assert list(tmp_path.iterdir()) == [target]


def test_a_damaged_artifact_is_not_put_in_place(run, recorded, tmp_path):
    shutil.copytree(Path(recorded.storage).parent, tmp_path / "book")
    path = tmp_path / "book" / "book.db"
    connection = sqlite3.connect(path)
    connection.execute("UPDATE tb_blob SET content = x'00' WHERE content = CAST('model 0' AS BLOB)")
    connection.commit()
    connection.close()
    target = tmp_path / "out"
    code, _, err = run(
        "artifacts", "digits/0", "--get", "model.txt", "-o", str(target), storage=str(path)
    )
    assert code == 1
    assert "damaged" in err
    assert not target.exists()


def test_an_artifact_goes_to_stdout_as_it_is(recorded):
    program = [sys.executable, "-c", "from trialbook.cli.main import main; main()"]
    arguments = ("artifacts", "digits/0", "--get", "model.txt", "-o", "-")
    done = subprocess.run(
        [*program, *arguments, "--storage", recorded.storage],
        capture_output=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == (b"model 0", b"")


def test_a_terminal_gets_colours_and_lines_that_fit(recorded):
    with OnTerminal("show", "digits", "--storage", recorded.storage, columns=60) as terminal:
        code, shown = terminal.ends()
    assert code == 0
    assert "\x1b[1m" in shown
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    table = plain[plain.index("TRIAL") :].splitlines()
    assert all(len(line) <= 60 for line in table)
    assert "…" in plain


def test_a_name_on_a_terminal_does_not_steer_it_and_no_color_is_honoured(recorded):
    arguments = ("ls", "--storage", recorded.storage)
    with OnTerminal(*arguments, columns=200, NO_COLOR="1") as terminal:
        code, shown = terminal.ends()
    assert code == 0
    assert "\\x1b[31m<script>\\u202e" in shown
    assert "\x1b" not in shown
