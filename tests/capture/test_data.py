import errno
import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from trialbook.capture.data import Data, DataProbe
from trialbook.errors import CaptureError, DataMissingError, InvalidInputError
from trialbook.records.coverage import Level
from trialbook.records.data import DataFile, DataState, InputState, manifest_digest

OLD_NS = 1_600_000_000_000_000_000


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write(path: Path, content: bytes, *, mtime_ns: int = OLD_NS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return path


def only_input(probe: DataProbe) -> InputState:
    (state,) = probe.observe().snapshot.state_as(DataState).inputs
    return state


def settled(probe: DataProbe) -> DataProbe:
    """The probe once its files are older than what the racy rule waits for."""
    deadline = time.monotonic() + 20
    probe.observe()
    while probe.changed():
        assert time.monotonic() < deadline
        time.sleep(0.05)
        probe.observe()
    return probe


def test_a_file_is_its_bytes(tmp_path):
    write(tmp_path / "a.csv", b"1,2\n")
    probe = DataProbe({"train": "a.csv"}, base=tmp_path)
    assert probe.paths == {"train": tmp_path / "a.csv"}
    observation = probe.observe()
    assert only_input(probe) == InputState(
        "train", "file", "a.csv", str(tmp_path / "a.csv"), sha256(b"1,2\n"), 4
    )
    assert observation.blobs == ()
    assert observation.snapshot.coverage.level is Level.COMPLETE


def test_inputs_are_sorted_and_paths_absolute(tmp_path, monkeypatch):
    write(tmp_path / "b", b"b")
    write(tmp_path / "home/a", b"a")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    probe = DataProbe({"z": tmp_path / "b", "y": "~/a", "x": Data(Path("b"))}, base=tmp_path)
    state = probe.observe().snapshot.state_as(DataState)
    assert [item.name for item in state.inputs] == ["x", "y", "z"]
    assert probe.paths["y"] == tmp_path / "home/a"


def hard_directory(top: Path) -> None:
    write(top / "b.txt", b"b")
    write(top / "sub/a.txt", b"aa")
    write(top / "sub/new\nline\\and slash", b"n")
    (top / "empty").mkdir()
    write(Path(os.fsdecode(os.fsencode(top) + b"/\xff\xfe.bin")), b"\0")
    (top / "sub/link").symlink_to("../b.txt")
    (top / "linked").symlink_to("sub")


def test_a_directory_has_the_digest_that_find_and_sha256sum_print(tmp_path):
    if shutil.which("sha256sum") is None:
        pytest.skip("no GNU coreutils here")
    top = tmp_path / "images"
    hard_directory(top)
    state = only_input(DataProbe({"images": "images"}, base=tmp_path))
    command = (
        r"find -L . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 -r sha256sum | sha256sum"
    )
    printed = subprocess.run(command, shell=True, cwd=top, capture_output=True, check=True).stdout
    assert state.digest == printed.split()[0].decode()
    assert state.kind == "directory"
    assert state.size_bytes == 10
    assert [os.fsencode(f.path) for f in state.files] == sorted(
        os.fsencode(f.path) for f in state.files
    )
    assert DataFile("linked/link", 1, sha256(b"b")) in state.files
    assert manifest_digest(reversed(state.files)) == state.digest


def test_an_empty_directory_has_the_digest_of_nothing(tmp_path):
    (tmp_path / "d").mkdir()
    assert only_input(DataProbe({"d": "d"}, base=tmp_path)).digest == sha256(b"")


def test_what_cannot_be_followed_is_a_gap(tmp_path):
    top = tmp_path / "d"
    write(top / "a", b"a")
    (top / "nowhere").symlink_to("missing")
    (top / "up").symlink_to("..")
    (top / "self").symlink_to(".")
    os.mkfifo(top / "fifo")
    coverage = DataProbe({"d": "d"}, base=tmp_path).observe().snapshot.coverage
    assert coverage.level is Level.PARTIAL
    said = " ".join(coverage.reasons)
    for name in ("nowhere", "self", "fifo"):
        assert name in said


def test_a_pattern(tmp_path):
    write(tmp_path / "d/1.csv", b"1")
    write(tmp_path / "d/2.csv", b"2")
    write(tmp_path / "d/x.txt", b"x")
    write(tmp_path / "d/more.csv/part", b"p")
    probe = DataProbe({"g": "d/*.csv"}, base=tmp_path)
    state = only_input(probe)
    assert state.kind == "glob"
    assert [file.path for file in state.files] == ["1.csv", "2.csv", "more.csv/part"]
    assert state.digest == manifest_digest(state.files)
    assert probe.paths["g"] == tmp_path / "d/*.csv"
    deep = only_input(DataProbe({"g": "**/*.csv"}, base=tmp_path))
    assert [file.path for file in deep.files] == ["d/1.csv", "d/2.csv"]


def test_a_name_with_wildcards_that_exists_is_that_file(tmp_path):
    write(tmp_path / "[1].csv", b"1")
    write(tmp_path / "1.csv", b"2")
    assert only_input(DataProbe({"f": "[1].csv"}, base=tmp_path)).digest == sha256(b"1")


@pytest.mark.parametrize("path", ["missing.csv", "*.missing", "a.csv/below", "nul\0byte"])
def test_a_missing_input_says_what_where_and_the_next_step(tmp_path, path):
    write(tmp_path / "a.csv", b"")
    with pytest.raises(DataMissingError, match="train") as caught:
        DataProbe({"train": path}, base=tmp_path).observe()
    assert str(tmp_path) in caught.value.where
    assert "--data train=PATH" in caught.value.hint


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(CaptureError, match="neither"):
        DataProbe({"f": "fifo"}, base=tmp_path).observe()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file(tmp_path):
    write(tmp_path / "a", b"a").chmod(0)
    with pytest.raises(CaptureError, match=os.strerror(errno.EACCES)):
        DataProbe({"a": "a"}, base=tmp_path).observe()


@pytest.mark.parametrize("inputs", [{"": "a"}, {1: "a"}, {"a": 5}, {"a": None}])
def test_what_is_no_declaration(tmp_path, inputs):
    with pytest.raises(InvalidInputError):
        DataProbe(inputs, base=tmp_path)


@pytest.mark.parametrize("digest", ["", "abc", "md5:" + "0" * 64, "sha256:" + "G" * 64, "0" * 64])
def test_what_is_no_digest(digest):
    with pytest.raises(InvalidInputError, match="digest"):
        Data("a", digest=digest)


def test_a_declared_digest_is_recorded_as_not_verified(tmp_path):
    path = write(tmp_path / "big", b"big")
    declared = "sha256:" + "0" * 64
    probe = DataProbe({"big": Data("big", digest=declared)}, base=tmp_path)
    snapshot = probe.observe().snapshot
    (state,) = snapshot.state_as(DataState).inputs
    assert (state.digest, state.verified, state.size_bytes) == ("0" * 64, False, 3)
    assert snapshot.coverage.level is Level.PARTIAL
    with pytest.raises(CaptureError, match=sha256(b"big")):
        DataProbe({"big": Data("big", digest=declared)}, base=tmp_path, paranoid=True).observe()
    right = Data("big", digest=f"sha256:{sha256(b'big')}")
    verified = DataProbe({"big": right}, base=tmp_path, paranoid=True).observe().snapshot
    assert verified.state_as(DataState).inputs[0].verified
    assert verified.coverage.level is Level.COMPLETE
    path.unlink()
    with pytest.raises(DataMissingError):
        DataProbe({"big": right}, base=tmp_path).observe()


def test_a_name_can_be_mapped_to_another_path(tmp_path, monkeypatch):
    write(tmp_path / "there/a", b"a")
    monkeypatch.chdir(tmp_path)
    probe = DataProbe({"train": "gone/a"}, base=tmp_path, mapping={"train": Path("there/a")})
    state = only_input(probe)
    assert (state.declared, state.path) == ("gone/a", str(tmp_path / "there/a"))
    assert probe.paths["train"] == tmp_path / "there/a"
    with pytest.raises(InvalidInputError, match="did you mean 'train'"):
        DataProbe({"train": "x"}, base=tmp_path, mapping={"trian": Path("x")})


def test_a_mapped_input_is_hashed_and_may_differ_from_its_declared_digest(tmp_path):
    write(tmp_path / "a", b"a")
    probe = DataProbe(
        {"big": Data("gone", digest="sha256:" + "0" * 64)},
        base=tmp_path,
        mapping={"big": tmp_path / "a"},
    )
    snapshot = probe.observe().snapshot
    (state,) = snapshot.state_as(DataState).inputs
    assert (state.digest, state.verified) == (sha256(b"a"), True)
    assert snapshot.coverage.level is Level.PARTIAL


EDITS = {
    "same length and time": lambda top: write(top / "sub/a.csv", b"bbbb"),
    "longer": lambda top: write(top / "sub/a.csv", b"longer"),
    "removed": lambda top: (top / "sub/a.csv").unlink(),
    "replaced": lambda top: write(top / "b", b"aaaa").rename(top / "sub/a.csv"),
    "one more": lambda top: write(top / "sub/b.csv", b""),
}


def test_changes_are_noticed_by_stat_alone(tmp_path):
    cases = []
    for kind, declared in (("file", "sub/a.csv"), ("directory", "."), ("glob", "*/*.csv")):
        for name, edit in EDITS.items():
            top = tmp_path / kind / name
            write(top / "sub/a.csv", b"aaaa")
            probe = DataProbe({"x": declared}, base=top)
            assert probe.changed()
            cases.append((kind, name, top, edit, probe))
    for case in cases:
        settled(case[-1])
    for kind, name, top, edit, probe in cases:
        before = only_input(probe).digest
        edit(top)
        assert probe.changed() == ((kind, name) != ("file", "one more")), (kind, name)
        if name in ("longer", "same length and time"):
            assert only_input(probe).digest != before


def test_asking_whether_it_changed_is_cheap(tmp_path):
    for number in range(100):
        write(tmp_path / f"d/{number}", b"x")
    probe = settled(DataProbe({"d": "d", "f": "d/1", "g": "d/1*"}, base=tmp_path))
    times = []
    for _ in range(50):
        began = time.perf_counter()
        assert not probe.changed()
        times.append(time.perf_counter() - began)
    assert min(times) < 1e-3


def test_a_file_written_just_now_is_not_trusted_by_its_times(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"aaaa")
    probe = DataProbe({"a": "a"}, base=tmp_path)
    first = only_input(probe).digest
    status = path.stat()
    path.write_bytes(b"bbbb")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert probe.changed()
    assert only_input(probe).digest != first


def test_digests_are_kept_between_processes_and_paranoia_reads_again(tmp_path):
    write(tmp_path / "a", b"aaaa")
    cache = tmp_path / "cache"
    settled(DataProbe({"a": "a"}, base=tmp_path, cache_dir=cache))
    (saved,) = (cache / "digests").iterdir()
    # A digest that nobody could compute shows where it came from.
    saved.write_bytes(saved.read_bytes().replace(bytes.fromhex(sha256(b"aaaa")), bytes(32)))
    known = DataProbe({"a": "a"}, base=tmp_path, cache_dir=cache)
    assert only_input(known).digest == "0" * 64
    paranoid = DataProbe({"a": "a"}, base=tmp_path, cache_dir=cache, paranoid=True)
    assert only_input(paranoid).digest == sha256(b"aaaa")
    assert paranoid.changed()


WRITES_WHENEVER_IT_IS_OPENED = """
import os, sys
from pathlib import Path
from trialbook.capture.data import DataProbe
from trialbook.errors import CaptureError
path, times = sys.argv[1], int(sys.argv[2])
writer = os.open(path, os.O_WRONLY | os.O_APPEND)

def opened(event, args):
    global times
    if event == "open" and args[0] in (path, path.encode()) and times > 0:
        times -= 1
        os.write(writer, b"x")

sys.addaudithook(opened)
try:
    state = DataProbe({"a": path}, base=Path("/")).observe().snapshot.state
    print(state["inputs"][0]["digest"])
except CaptureError as error:
    print(error)
"""


@pytest.mark.parametrize("times", [1, 2, 100])
def test_a_file_that_changes_while_it_is_hashed_is_caught(tmp_path, times):
    path = write(tmp_path / "a", b"a" * 1000)
    done = subprocess.run(
        [sys.executable, "-c", WRITES_WHENEVER_IT_IS_OPENED, str(path), str(times)],
        capture_output=True,
        text=True,
        check=True,
    )
    if times == 100:
        assert "keeps changing" in done.stdout
    else:
        assert done.stdout.strip() == sha256(path.read_bytes())
    assert path.stat().st_size > 1000


def test_many_large_files_are_hashed_side_by_side_and_right(tmp_path):
    contents = {f"{n}": os.urandom(300_000 + n) for n in range(20)}
    for name, content in contents.items():
        write(tmp_path / "d" / name, content)
    threads = threading.active_count()
    state = only_input(DataProbe({"d": "d"}, base=tmp_path))
    assert {f.path: f.digest for f in state.files} == {
        name: sha256(content) for name, content in contents.items()
    }
    assert threading.active_count() == threads  # no thread is left that would make a fork unsafe


def test_the_book_is_in_no_manifest(tmp_path):
    write(tmp_path / "a", b"a")
    write(tmp_path / ".trialbook/book.db", b"not to be opened")
    write(tmp_path / "other/book.db", b"not to be opened")
    write(tmp_path / "other/book.db-wal", b"kept")
    probe = DataProbe({"all": "."}, base=tmp_path, exclude=[tmp_path / "other/book.db"])
    assert [file.path for file in only_input(probe).files] == ["a", "other/book.db-wal"]
    globbed = DataProbe({"g": "other/*"}, base=tmp_path, exclude=[tmp_path / "other/book.db"])
    assert [file.path for file in only_input(globbed).files] == ["book.db-wal"]
    settled(globbed)
    with pytest.raises(CaptureError, match="book"):
        DataProbe(
            {"b": "other/book.db"}, base=tmp_path, exclude=[tmp_path / "other/book.db"]
        ).observe()


def test_a_credential_in_a_path_is_not_recorded(tmp_path):
    token = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"
    write(tmp_path / f"token={token}/a", b"a")
    probe = DataProbe({"a": f"token={token}/a"}, base=tmp_path)
    assert b"ghp_16C7" not in probe.observe().snapshot.document
    with pytest.raises(DataMissingError) as caught:
        DataProbe({"a": token}, base=tmp_path).observe()
    assert "ghp_16C7" not in str(caught.value)
