"""The import watch: what it notes, what it leaves out, and that it never gets in the way."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from trialbook.capture.imports import (
    import_watch,
    install_import_watch,
    read_mark,
    reads_since,
    unwatched,
)


def test_installing_twice_is_installing_once() -> None:
    assert install_import_watch() is install_import_watch() is import_watch()


def test_reads_since_a_mark(tmp_path: Path) -> None:
    install_import_watch()
    before, after, written, rewritten = (tmp_path / name for name in "abcd")
    for path in (before, after, rewritten):
        with unwatched():
            path.write_text("x")
    before.read_text()
    mark = read_mark()
    after.read_bytes()
    os.close(os.open(after, os.O_RDONLY))
    written.write_text("own output")
    written.read_text()
    rewritten.read_text()
    rewritten.write_text("now an output")
    ours = [path for path in reads_since(mark) if path.startswith(str(tmp_path))]
    assert ours == [str(after)]
    before.read_text()  # opening it again makes it recent
    ours = [path for path in reads_since(mark) if path.startswith(str(tmp_path))]
    assert ours == [str(after), str(before)]


def test_spellings_of_one_path(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    install_import_watch()
    file = tmp_path / "file"
    with unwatched():
        file.write_text("x")
    monkeypatch.chdir(tmp_path)
    mark = read_mark()
    for spelling in ("file", "./file", f"{tmp_path}//file", f"{tmp_path}/./file", b"file", file):
        open(spelling).close()
    descriptor = os.open(file, os.O_RDONLY)
    os.fdopen(descriptor).close()  # a number, not a path
    assert [path for path in reads_since(mark) if "file" in path] == [str(file)]


def test_unwatched_is_for_one_thread(tmp_path: Path) -> None:
    install_import_watch()
    mine, other = tmp_path / "mine", tmp_path / "other"
    with unwatched():
        mine.write_text("x")
        other.write_text("x")
    mark = read_mark()
    with unwatched():
        thread = threading.Thread(target=other.read_text)
        thread.start()
        thread.join()
        with unwatched():
            pass
        mine.read_text()
    assert [p for p in reads_since(mark) if p.startswith(str(tmp_path))] == [str(other)]


def test_installed_files_and_bytecode_are_left_out() -> None:
    install_import_watch()
    mark = read_mark()
    Path(os.__file__).read_bytes()
    open(os.devnull).close()
    assert reads_since(mark) == ()


def test_a_failing_hook_is_noted_and_harms_nobody(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", (
            "from trialbook.capture import imports\n"
            "watch = imports.install_import_watch()\n"
            "watch.reads = None\n"
            f"open({str(tmp_path / 'x')!r}, 'w').close()\n"
            f"open({str(tmp_path / 'x')!r}).close()\n"
            "assert watch.faults, watch\n"
        )],
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_files_opened_while_the_interpreter_shuts_down(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", (
            "import sys\n"
            "from trialbook.capture.imports import install_import_watch\n"
            "install_import_watch()\n"
            "class Late:\n"
            f"    path = {str(tmp_path / 'late')!r}\n"
            "    def __del__(self):\n"
            "        self.opened(self.path, 'w').close()\n"
            "    opened = staticmethod(open)\n"
            "sys.late = Late()\n"
            "import builtins; builtins.late = Late()\n"
        )],
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "late").exists()
