"""Recorded command lines, taken apart."""

from __future__ import annotations

import subprocess
import sys

import pytest

from trialbook.records.recorded_command import RecordedCommand, recorded_command


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["python", "train.py", "--lr", "1"], RecordedCommand((), None, "train.py", ("--lr", "1"))),
        (
            ["python", "-O", "-W", "error", "a.py"],
            RecordedCommand(("-O", "-W", "error"), None, "a.py"),
        ),
        (
            ["python", "-Werror", "-Xutf8", "a.py"],
            RecordedCommand(("-W", "error", "-X", "utf8"), None, "a.py"),
        ),
        (
            ["python", "-m", "pkg.train", "-m", "x"],
            RecordedCommand((), "pkg.train", "", ("-m", "x")),
        ),
        (["python", "-Im", "pkg"], RecordedCommand((), "pkg", "")),
        (["python", "-OOumpkg", "y"], RecordedCommand(("-O", "-O", "-u"), "pkg", "", ("y",))),
        (["python", "-c", "print()", "z"], RecordedCommand((), None, "-c", ("z",))),
        (["python", "-", "z"], RecordedCommand((), None, "-", ("z",))),
        (["python"], RecordedCommand()),
        (
            ["python", "--check-hash-based-pycs", "always", "a.py"],
            RecordedCommand((), None, "a.py"),
        ),
    ],
)
def test_a_command_line_is_taken_apart(argv, expected):
    assert recorded_command(argv) == expected


def test_it_reads_what_python_itself_records(tmp_path):
    script = tmp_path / "show.py"
    script.write_text("import sys; print('\\n'.join(sys.orig_argv))")
    command = [sys.executable, "-O", "-X", "dev", "-W", "ignore", str(script), "--lr", "0.1"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = recorded_command(output.splitlines())
    assert found.argv == (str(script), "--lr", "0.1")
    assert found.options == ("-O", "-X", "dev", "-W", "ignore")
