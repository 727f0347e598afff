"""The code probe in real processes: limits, credentials, databases, and trouble of all kinds."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from trialbook.capture.code import CodeLimits, CodeProbe, code_root
from trialbook.errors import CaptureError
from trialbook.records.coverage import Level


def test_large_files_are_recorded_by_digest(project) -> None:
    big = os.urandom(3000)
    project.write("big.bin", big)
    project.write("also_big.py", "x = 1\n" + "#" * 3000)
    seen = project.observe(
        "import also_big\nshow(CodeProbe(ROOT, limits=CodeLimits(file_bytes=2000)))"
    )
    entry = seen.entry("big.bin")
    assert (entry.embedded, entry.digest) == (False, hashlib.sha256(big).hexdigest())
    assert entry.size_bytes == 3000
    assert not seen.entry("also_big.py").embedded
    assert seen.coverage.level is Level.PARTIAL
    assert "big.bin (larger than" in seen.coverage.reasons[0]


def test_loaded_files_come_first_when_the_snapshot_is_full(project) -> None:
    for n in range(20):
        project.write(f"a{n}.txt", bytes([n]) * 1000)
    project.write("zz.py", "x = 1\n#" + "z" * 3000)
    seen = project.observe(
        "import zz\nshow(CodeProbe(ROOT, limits=CodeLimits(snapshot_bytes=10_000)))"
    )
    assert seen.entry("zz.py").embedded
    assert seen.entry("main.py").embedded
    embedded = [e for e in seen.state.files if e.embedded]
    assert 3 <= len(embedded) < 12
    assert sum(e.size_bytes for e in embedded) <= 10_000
    assert seen.coverage.level is Level.PARTIAL


def test_credentials_are_not_embedded(project) -> None:
    canary = "canary" + "0f9e8d7c6b5a4" * 3
    project.write(".env", f"PASSWORD={canary}\n")
    project.write("id_rsa", "-----BEGIN OPENSSH PRIVATE " + f"KEY-----\n{canary}\n")
    project.write("settings.py", f"API_KEY = '{canary}'\n")
    seen = project.observe("import settings\nshow(CodeProbe(ROOT))")
    for path in (".env", "id_rsa", "settings.py"):
        assert not seen.entry(path).embedded, path
        assert seen.entry(path).reason
    assert seen.entry("settings.py").loaded
    assert seen.coverage.level is Level.PARTIAL
    for file in project.out.iterdir():
        assert canary.encode() not in file.read_bytes()


def test_file_limit_and_wide_roots_record_only_what_was_loaded(project, tmp_path: Path) -> None:
    project.write("helper.py", "x = 1\n")
    for n in range(30):
        project.write(f"f{n}", "x")
    body = "import helper\nshow(CodeProbe(ROOT, limits=CodeLimits(files=20)))"
    for prepare in (lambda: None, lambda: project.git("init", "-q")):
        prepare()
        seen = project.observe(body)
        assert {e.path for e in seen.state.files} == {"main.py", "helper.py"}
        assert seen.coverage.level is Level.PARTIAL
        assert "more than 20 files" in seen.coverage.reasons[0]
    for root, name in (("/", "/"), (str(project.root), str(project.root))):
        seen = project.observe(
            "import helper\nshow(CodeProbe(ROOT))",
            env={"ROOT": root, "HOME": str(project.root), "GIT_CEILING_DIRECTORIES": str(tmp_path)},
        ) if root == "/" else None  # fmt: skip
        if seen is not None:
            assert len(seen.state.files) == len(seen.state.loaded) == 2
            assert f"the root is {name}" in seen.coverage.reasons[0]


def test_without_git_caches_and_environments_stay_out(project) -> None:
    for path in (
        ".venv/x.py", "myenv/pyvenv.cfg", "myenv/lib/y.py", "node_modules/m/i.js", ".git/config",
        "pkg/__pycache__/z.pyc", ".mypy_cache/c", ".trialbook/book.db", "sub/.trialbook/book.db",
        ".ipynb_checkpoints/n.ipynb",
    ):  # fmt: skip
        project.write(path, "x")
    (project.root / ".git" / "config").unlink()
    (project.root / ".git").rmdir()
    project.write(".hidden.cfg", "kept")
    project.write("pkg/kept.py", "kept")
    os.mkfifo(project.root / "pipe")
    seen = project.observe("show(CodeProbe(ROOT))")
    assert {e.path for e in seen.state.files} == {"main.py", ".hidden.cfg", "pkg/kept.py"}


OPENED = """
    opened = []
    def note(event, args):
        if event == "open" and isinstance(args[0], (str, bytes)):
            opened.append(os.path.realpath(os.fsdecode(args[0])))
    sys.addaudithook(note)
"""


@pytest.mark.parametrize("tracked", [False, True])
def test_the_book_is_never_opened(project, tracked: bool) -> None:
    """Closing a second handle on it would drop SQLite's locks."""
    names = ("book.db", "book.db-wal", "book.db-shm", "book.db-journal", "books/b.db", "books/c/x")
    for name in names:
        project.write(name, "book")
    project.write(".trialbook/book.db", "book")
    if tracked:
        project.git("init", "-q")
        project.git("add", "-A", "--force")
    project.observe(OPENED + """
    open("book.db").read()  # as a library might: still no code
    del opened[:]
    show(CodeProbe(ROOT, exclude=[ROOT / "book.db", ROOT / "books"]))
    (OUT / "opened").write_text("\\n".join(opened))
    """)  # fmt: skip
    assert {e.path for e in project.seen().state.files} == {"main.py"}
    opened = (project.out / "opened").read_text().splitlines()
    below = [path.removeprefix(str(project.root)) for path in opened]
    assert "/main.py" in below
    assert not [path for path in below if "/book" in path or ".trialbook" in path]


def test_databases_are_read_without_this_process_opening_them(project) -> None:
    """Another SQLite file of the tree may be in use by this very process."""
    project.write("main.py", "")
    seen = project.observe(OPENED + """
    import sqlite3
    connection = sqlite3.connect("mine.db", isolation_level=None)
    connection.execute("create table t (x)")
    connection.execute("begin immediate")
    connection.execute("insert into t values (1)")
    show(CodeProbe(ROOT))
    other = sqlite3.connect("mine.db", timeout=0)
    try:
        other.execute("begin immediate")
        raise SystemExit("the lock is gone")
    except sqlite3.OperationalError:
        pass
    import subprocess
    code = "import sqlite3; sqlite3.connect('mine.db', timeout=0).execute('begin immediate')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 1
    (OUT / "opened").write_text("\\n".join(opened))
    """)  # fmt: skip
    assert "mine.db" in {e.path for e in seen.state.files}
    assert "mine.db" not in (project.out / "opened").read_text()


def test_unreadable_file_is_a_gap(project) -> None:
    project.write("locked.py", "x").chmod(0)
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    seen = project.observe("show(CodeProbe(ROOT))")
    assert seen.coverage.level is Level.PARTIAL
    assert "locked.py" in seen.coverage.reasons[0]


def test_no_root_is_a_capture_error(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="root of the code"):
        CodeProbe(tmp_path / "absent").observe()


def test_without_git_installed(project, tmp_path: Path) -> None:
    project.git("init", "-q")
    project.write("helper.py", "x = 1\n")
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "cat").symlink_to("/bin/cat")
    seen = project.observe("import helper\nshow(CodeProbe(ROOT))", env={"PATH": str(tools)})
    assert seen.loaded == {"main.py", "helper.py"}
    assert seen.state.git is None
    assert "git is not installed" in seen.coverage.reasons[0]


def test_damaged_repository(project) -> None:
    project.git("init", "-q")
    (project.root / ".git" / "index").write_bytes(b"junk")
    seen = project.observe("show(CodeProbe(ROOT))")
    assert {e.path for e in seen.state.files} == {"main.py"}
    assert seen.coverage.level is Level.PARTIAL
    assert "git" in seen.coverage.reasons[0]


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ((), "a/b/c"),
        (("a/.git/HEAD",), "a"),
        (("a/b/.git",), "a/b"),
        (("a/pyproject.toml",), "a"),
        (("a/b/setup.py", "a/pyproject.toml"), "a/b"),
        (("a/.git/HEAD", "a/b/pyproject.toml"), "a"),
        ((".git/HEAD", "pyproject.toml"), "a/b/c"),
        (("a/b/c/__init__.py", "a/b/__init__.py"), "a"),
    ],
)
def test_code_root(
    marks: tuple[str, ...], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / "a" / "b" / "c").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    for mark in marks:
        (home / mark).parent.mkdir(parents=True, exist_ok=True)
        (home / mark).write_text("")
    (home / "a" / "b" / "c" / "main.py").write_text("")
    assert code_root(home / "a" / "b" / "c") == home / expected
    assert code_root(home / "a" / "b" / "c" / "main.py") == home / expected


def test_probe_face(tmp_path: Path) -> None:
    from trialbook.capture.probe import Probe

    probe: Probe = CodeProbe(tmp_path, limits=CodeLimits())
    assert probe.kind == "code"
    assert probe.changed()
    assert probe.observe().snapshot.kind == "code"


def test_identity_ignores_what_was_not_loaded(project) -> None:
    project.write("helper.py", "x = 1\n")
    body = "import helper\nshow(CodeProbe(ROOT))\n"
    first = project.observe(body).state.identity
    project.write("README", "new\n")
    assert project.observe(body).state.identity == first
    project.write("helper.py", "x = 2\n")
    assert project.observe(body).state.identity != first
