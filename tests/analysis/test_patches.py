"""The code of two trials, as unified diffs that ``patch`` and ``git apply`` would take."""

from __future__ import annotations

import subprocess

import pytest

from trialbook.analysis.patches import file_differences
from trialbook.errors import NotFoundError
from trialbook.records.canonical import digest_of_bytes
from trialbook.records.code import CodeState, FileEntry


class Tree:
    """A manifest and the contents that it names."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def code(self, files: dict[str, bytes], **settings: object) -> CodeState:
        entries = []
        for path, content in sorted(files.items()):
            digest = digest_of_bytes(content)
            self.blobs[digest] = content
            entries.append(FileEntry(path, "100644", len(content), digest, **settings))
        return CodeState(None, tuple(entries))

    def content(self, digest: str) -> bytes:
        try:
            return self.blobs[digest]
        except KeyError:
            raise NotFoundError(f"the blob {digest} is not in the book") from None


@pytest.fixture
def tree() -> Tree:
    return Tree()


def _only(differences):
    (difference,) = differences
    return difference


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"a\nb\nc\n", b"a\nB\nc\n"),
        (b"a\nb", b"a\nb\n"),
        (b"a\nb\n", b"a\nb"),
        (b"a\nb", b"a\nc"),
        (b"", b"new\n"),
        (b"a\r\nb\r\n", b"a\nb\n"),
        (b"one\x0cpage\n", b"one\x0cother page\n"),
    ],
)
def test_a_patch_applied_to_the_first_gives_the_second(tmp_path, tree, before, after):
    (tmp_path / "f.py").write_bytes(before)
    patch = _only(
        file_differences(tree.code({"f.py": before}), tree.code({"f.py": after}), tree.content)
    ).patch
    applied = subprocess.run(
        ["git", "apply", "--unsafe-paths", "-"],
        cwd=tmp_path,
        input=(patch + "\n").encode(),
        capture_output=True,
        check=False,
    )
    assert applied.returncode == 0, applied.stderr
    assert (tmp_path / "f.py").read_bytes() == after


def test_added_removed_and_equal_files(tree):
    first = tree.code({"gone.py": b"1\n", "same.py": b"2\n"}, loaded=True)
    second = tree.code({"new.py": b"3\n", "same.py": b"2\n"})
    found = {d.path: d for d in file_differences(first, second, tree.content)}
    assert {path: d.change for path, d in found.items()} == {
        "gone.py": "removed",
        "new.py": "added",
    }
    assert found["gone.py"].loaded
    assert not found["new.py"].loaded
    assert found["gone.py"].patch.startswith("--- a/gone.py\n+++ /dev/null\n")
    assert found["new.py"].patch.endswith("\n+3")


def test_what_cannot_be_shown_says_why(tree):
    cases = {
        "binary.bin": (b"\0a", b"\0b"),
        "long.py": (b"", b"x\n" * 20_001),
        "large.py": (b"", b"x" * (1024 * 1024 + 1)),
    }
    first = tree.code({path: pair[0] for path, pair in cases.items()})
    second = tree.code({path: pair[1] for path, pair in cases.items()})
    reasons = {d.path: d.reason for d in file_differences(first, second, tree.content)}
    assert reasons == {
        "binary.bin": "it is binary",
        "long.py": "20001 lines are too many to compare",
        "large.py": "1048577 bytes are too many to compare",
    }
    unembedded = tree.code({"f.py": b"x\n"}, embedded=False, reason="over 1 MiB")
    difference = _only(file_differences(tree.code({"f.py": b"y\n"}), unembedded, tree.content))
    assert (difference.patch, difference.reason) == (
        None,
        "only its digest is recorded: over 1 MiB",
    )
    tree.blobs.clear()
    missing = _only(
        file_differences(tree.code({"a.py": b"1"}), CodeState(None, ()), Tree().content)
    )
    assert "is not in the book" in missing.reason


def test_a_changed_mode_is_a_difference_without_a_patch(tree):
    (entry,) = tree.code({"run.sh": b"x\n"}).files
    executable = FileEntry("run.sh", "100755", entry.size_bytes, entry.digest)
    difference = _only(
        file_differences(CodeState(None, (entry,)), CodeState(None, (executable,)), tree.content)
    )
    assert (difference.change, difference.modes) == ("mode", ("100644", "100755"))


def test_bytes_that_are_no_text_are_shown_as_escapes(tree):
    difference = _only(
        file_differences(
            tree.code({"f.txt": b"caf\xe9\n"}), tree.code({"f.txt": b"cafe\n"}), tree.content
        )
    )
    assert "-caf\\xe9" in difference.patch
