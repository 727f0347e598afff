"""Restoring code: nothing leaves the directory, nothing is believed unchecked."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialbook.errors import RestoreError
from trialbook.records.code import CodeState, FileEntry
from trialbook.restoring.code import RestoredCode, restore_code


def entry(path: str, content: bytes, mode: str = "100644", **fields: object) -> FileEntry:
    digest = hashlib.sha256(content).hexdigest()
    return FileEntry(path, mode, len(content), digest, **fields)  # type: ignore[arg-type]


def restore(
    destination: Path,
    *files: tuple[FileEntry, bytes],
    supply: dict[str, Path] | None = None,
) -> RestoredCode:
    blobs = {e.digest: content for e, content in files if e.embedded}
    state = CodeState(None, tuple(e for e, _ in files))
    return restore_code(state, blobs.__getitem__, destination, supply=supply)


def file(path: str, content: bytes = b"x", mode: str = "100644", **fields: object):  # type: ignore[no-untyped-def]
    return entry(path, content, mode, **fields), content


def test_modes_links_and_bases(tmp_path: Path) -> None:
    restored = restore(
        tmp_path / "new",
        file("a/b.py", b"b"),
        file("run.sh", b"#!", "100755"),
        file("link", b"a/b.py", "120000"),
        file("helper.py", b"h", base="outside-1"),
    )
    root = restored.bases["."]
    assert restored.missing == ()
    assert (root / "a" / "b.py").read_bytes() == b"b"
    assert (root / "a" / "b.py").stat().st_mode & 0o777 == 0o644
    assert (root / "run.sh").stat().st_mode & 0o777 == 0o755
    assert os.readlink(root / "link") == "a/b.py"
    assert (restored.bases["outside-1"] / "helper.py").read_bytes() == b"h"
    assert restored.bases["outside-1"].parent == root.parent


@pytest.mark.parametrize("umask", [0o077, 0o777, 0])
def test_umask_changes_no_mode(tmp_path: Path, umask: int) -> None:
    (tmp_path / "new").mkdir()
    old = os.umask(umask & 0o077)
    try:
        root = restore(tmp_path / "new", file("run.sh", b"#!", "100755"), file("a")).bases["."]
    finally:
        os.umask(old)
    assert (root / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (root / "a").stat().st_mode & 0o777 == 0o644


ESCAPES = [
    "../evil", "a/../../evil", "/etc/evil", "a//b", "./a", "a/.", "", "a/", "..", ".", "a\0b",
]  # fmt: skip


@pytest.mark.parametrize("path", ESCAPES)
@pytest.mark.parametrize("mode", ["100644", "120000"])
def test_paths_that_leave_are_refused(path: str, mode: str, tmp_path: Path) -> None:
    with pytest.raises(RestoreError, match="outside"):
        restore(tmp_path / "new", file("fine.py"), file(path, b"y", mode))
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


@pytest.mark.parametrize("base", ["..", "../x", "/tmp", "", "root", "a/b"])
def test_bases_that_leave_are_refused(base: str, tmp_path: Path) -> None:
    with pytest.raises(RestoreError, match="outside"):
        restore(tmp_path / "new", file("a", base=base))


@pytest.mark.parametrize("mode", ["120000", "100644"])
def test_files_below_a_link_or_file_are_refused(mode: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    target = str(victim).encode()
    for files in (
        [file("d", target, mode), file("d/evil")],
        [file("d/evil"), file("d", target, mode)],
        [file("p/d", target, mode), file("p/d/q/evil")],
    ):
        with pytest.raises(RestoreError, match="below another file"):
            restore(tmp_path / f"new-{len(files[0][0].path)}{files[0][0].path[-1]}", *files)
    assert list(victim.iterdir()) == []


def test_a_file_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RestoreError, match="twice"):
        restore(tmp_path / "new", file("a", b"1"), file("a", b"2"))


@pytest.mark.parametrize("mode", ["100600", "160000", "040000", "", "120755"])
def test_unknown_modes_are_refused(mode: str, tmp_path: Path) -> None:
    with pytest.raises(RestoreError, match="mode"):
        restore(tmp_path / "new", file("a", b"1", mode))


def test_wrong_content_is_refused(tmp_path: Path) -> None:
    state = CodeState(None, (entry("train.py", b"what ran"),))
    with pytest.raises(RestoreError, match=r"train\.py is not what ran"):
        restore_code(state, lambda digest: b"something else", tmp_path / "new")


def test_only_an_empty_directory_is_used(tmp_path: Path) -> None:
    used = tmp_path / "used"
    used.mkdir()
    (used / "mine.txt").write_text("mine")
    with pytest.raises(RestoreError, match="empty"):
        restore(used, file("a"))
    assert [path.name for path in used.iterdir()] == ["mine.txt"]
    (tmp_path / "empty").mkdir()
    assert (restore(tmp_path / "empty", file("a")).bases["."] / "a").exists()


def test_a_destination_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RestoreError, match="cannot be made"):
        restore(tmp_path / "file" / "below", file("a"))


def test_files_by_digest_only_are_asked_for_and_checked(tmp_path: Path) -> None:
    big = file("weights.bin", b"big", embedded=False, reason="larger than 1 MiB")
    key = file("k.py", b"key", embedded=False, loaded=True, base="outside-1", reason="secret")
    restored = restore(tmp_path / "one", big, key, file("a"))
    assert [e.path for e in restored.missing] == ["k.py", "weights.bin"]  # loaded ones first
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_bytes(b"big")
    wrong.write_bytes(b"BIG")
    restored = restore(tmp_path / "two", big, key, supply={"weights.bin": right})
    assert [e.path for e in restored.missing] == ["k.py"]
    assert (restored.bases["."] / "weights.bin").read_bytes() == b"big"
    with pytest.raises(RestoreError, match="supplied content of weights.bin"):
        restore(tmp_path / "three", big, supply={"weights.bin": wrong})
    right.write_bytes(b"key")
    restored = restore(tmp_path / "four", key, supply={"outside-1:k.py": right})
    assert restored.missing == ()
    with pytest.raises(RestoreError, match="not in the record: nonsense"):
        restore(tmp_path / "five", big, supply={"nonsense": right})
    with pytest.raises(RestoreError):
        restore(tmp_path / "six", big, supply={"weights.bin": tmp_path / "absent"})


def test_the_empty_record(tmp_path: Path) -> None:
    restored = restore(tmp_path / "new")
    assert restored.bases == {".": tmp_path / "new" / "root"}
    assert list(restored.bases["."].iterdir()) == []


NAMES = st.binary(min_size=1, max_size=20).filter(
    lambda name: not {b"\0"[0], b"/"[0]} & set(name) and name not in (b".", b"..")
)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS file names are UTF-8")
@given(files=st.dictionaries(NAMES, st.binary(max_size=50), max_size=8))
def test_any_name_and_content_survive(
    files: dict[bytes, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    destination = tmp_path_factory.mktemp("any") / "new"
    root = restore(
        destination, *(file(os.fsdecode(name), content) for name, content in files.items())
    ).bases["."]
    found = {}
    for name in os.listdir(os.fsencode(root)):
        with open(os.path.join(os.fsencode(root), name), "rb") as content:
            found[name] = content.read()
    assert found == files
