"""Git cases: what is observed restores byte for byte, and the user's repository stays untouched.

Real repositories, made by git itself. What is expected is read from the working tree by this file,
not by Trialbook.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from trialbook.capture.code import CodeProbe
from trialbook.capture.probe import Observation
from trialbook.records.code import ROOT, CodeState
from trialbook.records.coverage import Level
from trialbook.restoring.code import restore_code

Tree = dict[bytes, tuple[str, bytes]]


@pytest.fixture(autouse=True)
def _plain_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of this machine's user."""
    for name in list(os.environ):
        if name.startswith("GIT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    (tmp_path / "gitconfig").write_text(
        '[user]\nname = Ada\nemail = ada@example.org\n[protocol "file"]\nallow = always\n'
        "[init]\ndefaultBranch = main\ntemplateDir =\n"
    )


def git(directory: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=directory, capture_output=True, check=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with one commit."""
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "-q")
    (root / "train.py").write_text("def objective(trial):\n    return 1.0\n")
    (root / "conf").mkdir()
    (root / "conf" / "mlp.yaml").write_text("width: 8\n")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    return root


def tree_of(root: Path, *, without: tuple[str, ...] = ()) -> Tree:
    """Every file and link below a directory, .git left out: mode as in git, and content."""
    found: Tree = {}
    for folder, directories, files in os.walk(os.fsencode(root)):
        links = [name for name in directories if os.path.islink(os.path.join(folder, name))]
        directories[:] = [name for name in directories if name not in (b".git", *links)]
        for name in files + links:
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, os.fsencode(root))
            if name == b".git" or os.fsdecode(relative) in without:
                continue
            if os.path.islink(path):
                found[relative] = ("120000", os.readlink(path))
            else:
                mode = "100755" if os.stat(path).st_mode & 0o100 else "100644"
                with open(path, "rb") as file:
                    found[relative] = (mode, file.read())
    return found


def fingerprint(root: Path) -> dict[str, tuple[object, ...]]:
    """Every file below a directory, .git included: content and times, so that no write hides."""
    found: dict[str, tuple[object, ...]] = {}
    for folder, directories, files in os.walk(root):
        # Reading a split index lets git itself refresh the times of the shared part.
        files = [name for name in files if not name.startswith("sharedindex.")]
        status = os.lstat(folder)
        found[folder] = (status.st_mode, status.st_mtime_ns, status.st_ctime_ns)
        for name in [*files, *directories]:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            if os.path.isfile(path) and not os.path.islink(path):
                digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
            else:
                digest = ""
            found[path] = (
                digest, status.st_mode, status.st_ino, status.st_mtime_ns, status.st_ctime_ns,
            )  # fmt: skip
    return found


def observed(root: Path, tmp_path: Path) -> Observation:
    """What a fresh probe sees; the repository must be the same afterwards, times included."""
    before = fingerprint(root)
    observation = CodeProbe(root, cache_dir=tmp_path / "cache").observe()
    assert fingerprint(root) == before
    return observation


def state_of(observation: Observation) -> CodeState:
    """The state; this test's own modules, which are outside the root, left out."""
    state = observation.snapshot.state_as(CodeState)
    return CodeState(state.git, tuple(e for e in state.files if e.base == ROOT))


def restored(observation: Observation, destination: Path) -> Path:
    blobs = {blob.digest: blob for blob in observation.blobs}

    def content(digest: str) -> bytes:
        found = blobs[digest].content
        assert found is not None
        return found

    code = restore_code(state_of(observation), content, destination)
    assert code.missing == ()
    return code.bases["."]


def plain(root: Path) -> None:
    """Nothing special."""


def no_commit_yet(root: Path) -> None:
    shutil.rmtree(root / ".git")
    git(root, "init", "-q")
    git(root, "add", "train.py")


def empty_repository(root: Path) -> None:
    shutil.rmtree(root / ".git")
    git(root, "init", "-q")


def detached(root: Path) -> None:
    git(root, "checkout", "-q", "--detach")


def dirty(root: Path) -> None:
    (root / "train.py").write_text("def objective(trial):\n    return 2.0\n")


def staged(root: Path) -> None:
    (root / "conf" / "mlp.yaml").write_text("width: 9\n")
    git(root, "add", "conf")


def untracked(root: Path) -> None:
    (root / "helper.py").write_text("x = 1\n")


def deleted(root: Path) -> None:
    (root / "conf" / "mlp.yaml").unlink()


def links(root: Path) -> None:
    (root / "latest.yaml").symlink_to("conf/mlp.yaml")
    (root / "config").symlink_to("conf")
    (root / "dangling").symlink_to("nowhere/at all")
    (root / "outward").symlink_to("/etc")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "links")
    (root / "untracked-link").symlink_to("../somewhere")


def executable(root: Path) -> None:
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "run")
    (root / "train.py").chmod(0o755)


def odd_names(root: Path) -> None:
    for name in (
        b"with space.py", b"with\nnewline.py", b"tab\there", b"caf\xc3\xa9.py", b"latin-\xe9\xff",
        b'quote".py', b"back\\slash.py", b"-leading-dash", b" ", b"trailing ", b":(glob)magic",
    ):  # fmt: skip
        Path(os.path.join(root, os.fsdecode(name))).write_bytes(name)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "names")
    Path(os.path.join(root, os.fsdecode(b"untracked\n\xfe.py"))).write_bytes(b"u")


def binary(root: Path) -> None:
    (root / "weights.bin").write_bytes(bytes(range(256)) * 40)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "weights")
    (root / "weights.bin").write_bytes(bytes(reversed(range(256))) * 40 + b"\r\n\0")


def crlf(root: Path) -> None:
    (root / ".gitattributes").write_text("*.txt text eol=crlf\n*.py text=auto\n")
    (root / "notes.txt").write_bytes(b"a\r\nb\r\n")
    (root / "dos.py").write_bytes(b"x = 1\r\ny = 2\r\n")
    git(root, "config", "core.autocrlf", "true")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "line ends")


def empty_files(root: Path) -> None:
    (root / "__init__.py").write_bytes(b"")
    (root / "same.py").write_bytes(b"")


def replaced_by_directory(root: Path) -> None:
    (root / "train.py").unlink()
    (root / "train.py").mkdir()
    (root / "train.py" / "part.py").write_text("p = 1\n")


def directory_replaced_by_link(root: Path) -> None:
    shutil.rmtree(root / "conf")
    outside = root.parent / "elsewhere"
    outside.mkdir()
    (outside / "mlp.yaml").write_text("width: 1000\n")
    (root / "conf").symlink_to(outside)


def unmerged(root: Path) -> None:
    git(root, "checkout", "-q", "-b", "other")
    (root / "train.py").write_text("other\n")
    git(root, "commit", "-qam", "other")
    git(root, "checkout", "-q", "main")
    (root / "train.py").write_text("main\n")
    git(root, "commit", "-qam", "main")
    subprocess.run(["git", "merge", "-q", "other"], cwd=root, capture_output=True)


def intent_to_add(root: Path) -> None:
    (root / "new.py").write_text("n = 1\n")
    git(root, "add", "-N", "new.py")


def nested_repository(root: Path) -> None:
    inner = root / "vendored"
    inner.mkdir()
    git(inner, "init", "-q")
    (inner / "lib.py").write_text("v = 1\n")
    git(inner, "add", "-A")
    git(inner, "commit", "-q", "-m", "inner")
    (inner / "more.py").write_text("m = 1\n")


def submodule(root: Path) -> None:
    library = root.parent / "library"
    library.mkdir()
    git(library, "init", "-q")
    (library / "lib.py").write_text("v = 1\n")
    (library / "deep").mkdir()
    (library / "deep" / "é ü.py").write_text("d = 1\n")
    git(library, "add", "-A")
    git(library, "commit", "-q", "-m", "library")
    git(root, "-c", "protocol.file.allow=always", "submodule", "-q", "add", str(library), "ext/lib")
    git(root, "commit", "-q", "-m", "submodule")


def modified_submodule(root: Path) -> None:
    submodule(root)
    (root / "ext" / "lib" / "lib.py").write_text("v = 2\n")
    (root / "ext" / "lib" / "untracked.py").write_text("u = 2\n")


def sha256_objects(root: Path) -> None:
    shutil.rmtree(root / ".git")
    git(root, "init", "-q", "--object-format=sha256")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    os.utime(root / "train.py", (1, 1))  # times differ, so that the content has to be compared


def split_index(root: Path) -> None:
    git(root, "config", "core.splitIndex", "true")
    git(root, "config", "core.untrackedCache", "true")
    git(root, "update-index", "--split-index", "--untracked-cache")
    (root / "later.py").write_text("l = 1\n")
    git(root, "add", "later.py")


CASES = [
    plain, no_commit_yet, empty_repository, detached, dirty, staged, untracked, deleted, links,
    executable, odd_names, binary, crlf, empty_files, replaced_by_directory,
    directory_replaced_by_link, unmerged, intent_to_add, nested_repository, submodule,
    modified_submodule, sha256_objects, split_index,
]  # fmt: skip


def holds_dirty_as_git_does(observation: Observation, root: Path) -> None:
    """Compare with git, which is asked after the observation: it refreshes the index itself."""
    says = git(root, "status", "--porcelain", "--untracked-files=all")
    state = state_of(observation)
    assert state.git is not None
    assert state.git.dirty == bool(says), says


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_restores_byte_for_byte_and_says_dirty_as_git_does(
    case: Callable[[Path], None], repo: Path, tmp_path: Path
) -> None:
    case(repo)
    observation = observed(repo, tmp_path)
    assert observation.snapshot.coverage.level is Level.COMPLETE, observation.snapshot.coverage
    assert tree_of(restored(observation, tmp_path / "restored")) == tree_of(repo)
    holds_dirty_as_git_does(observation, repo)

    for folder, directories, files in os.walk(repo):
        directories[:] = [name for name in directories if name != ".git"]
        for name in files:
            if name != ".git" and not os.path.islink(os.path.join(folder, name)):
                os.utime(os.path.join(folder, name), (10**9, 10**9))
    # Every stat is stale now: the content has to decide.
    holds_dirty_as_git_does(observed(repo, tmp_path), repo)


def test_names_commit_and_branch(repo: Path, tmp_path: Path) -> None:
    git(repo, "checkout", "-q", "-b", "feature/é-1")
    state = state_of(observed(repo, tmp_path))
    assert state.git is not None
    assert (state.git.commit, state.git.branch) == (git(repo, "rev-parse", "HEAD"), "feature/é-1")
    git(repo, "checkout", "-q", "--detach")
    state = state_of(observed(repo, tmp_path))
    assert state.git is not None
    assert state.git.branch is None
    shutil.rmtree(repo / ".git")
    git(repo, "init", "-q")
    state = state_of(observed(repo, tmp_path))
    assert state.git is not None
    assert (state.git.commit, state.git.branch) == (None, "main")


@pytest.mark.parametrize(
    ("url", "userinfo", "kept"),
    [
        ("https://{}@example.org/lab/p.git", "ada:canary9x7", "https://example.org/lab/p.git"),
        ("https://{}@example.org/p.git", "ghp_canarycanarycanary", "https://example.org/p.git"),
        ("{}@example.org:lab/p.git", "canary", "example.org:lab/p.git"),
    ],
)
def test_remote_is_without_credentials(
    url: str, userinfo: str, kept: str, repo: Path, tmp_path: Path
) -> None:
    git(repo, "remote", "add", "origin", url.format(userinfo))
    observation = observed(repo, tmp_path)
    state = state_of(observation)
    assert state.git is not None
    assert state.git.remote == kept
    assert b"canary" not in observation.snapshot.document


def test_upstream_comes_before_origin(repo: Path, tmp_path: Path) -> None:
    git(repo, "remote", "add", "origin", "https://example.org/fork.git")
    git(repo, "remote", "add", "lab", "https://example.org/lab.git")
    git(repo, "config", "branch.main.remote", "lab")
    state = state_of(observed(repo, tmp_path))
    assert state.git is not None
    assert state.git.remote == "https://example.org/lab.git"


def test_ignored_files_stay_out(repo: Path, tmp_path: Path) -> None:
    (repo / ".gitignore").write_text("*.log\nbuild/\n!keep.log\n")
    (repo / "run.log").write_text("x")
    (repo / "keep.log").write_text("x")
    (repo / "build").mkdir()
    (repo / "build" / "out.py").write_text("x")
    got = tree_of(restored(observed(repo, tmp_path), tmp_path / "restored"))
    assert got == tree_of(repo, without=("run.log", "build/out.py"))


def test_worktree(repo: Path, tmp_path: Path) -> None:
    other = tmp_path / "second tree"
    git(repo, "worktree", "add", "-q", "-b", "second", str(other))
    (other / "train.py").write_text("second\n")
    before = fingerprint(repo)
    observation = observed(other, tmp_path)
    assert fingerprint(repo) == before
    state = state_of(observation)
    assert state.git is not None
    assert (state.git.branch, state.git.dirty) == ("second", True)
    assert tree_of(restored(observation, tmp_path / "restored")) == tree_of(other)


def test_root_inside_a_repository(repo: Path, tmp_path: Path) -> None:
    (repo / "conf" / "new.yaml").write_text("n: 1\n")
    observation = observed(repo / "conf", tmp_path)
    state = state_of(observation)
    assert state.git is not None
    assert state.git.prefix == "conf"
    assert {entry.path for entry in state.files} == {"mlp.yaml", "new.yaml"}
    assert tree_of(restored(observation, tmp_path / "restored")) == tree_of(repo / "conf")


def test_sparse_checkout_is_not_dirty(repo: Path, tmp_path: Path) -> None:
    git(repo, "sparse-checkout", "set", "--no-cone", "/train.py")
    assert not (repo / "conf").exists()
    state = state_of(observed(repo, tmp_path))
    assert state.git is not None
    assert not state.git.dirty


def test_submodule_that_is_not_checked_out(repo: Path, tmp_path: Path) -> None:
    submodule(repo)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(repo), str(clone))
    observation = observed(clone, tmp_path)
    state = state_of(observation)
    assert state.git is not None
    assert not state.git.dirty
    assert any("ext/lib" in reason for reason in observation.snapshot.coverage.reasons)
    assert tree_of(restored(observation, tmp_path / "restored")) == tree_of(clone)


def test_submodule_at_another_commit_is_dirty(repo: Path, tmp_path: Path) -> None:
    submodule(repo)
    inner = repo / "ext" / "lib"
    git(inner, "commit", "-q", "--allow-empty", "-m", "further")
    state = state_of(observed(repo, tmp_path))
    assert state.git is not None
    assert state.git.dirty


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository away")
def test_repository_of_another_user(repo: Path, tmp_path: Path) -> None:
    dirty(repo)
    for folder, directories, files in os.walk(repo):
        for name in [".", *directories, *files]:
            os.lchown(os.path.join(folder, name), 54321, 54321)
    with pytest.raises(subprocess.CalledProcessError) as refused:
        git(repo, "status")
    assert "dubious ownership" in refused.value.stderr
    observation = observed(repo, tmp_path)
    state = state_of(observation)
    assert state.git is not None
    assert state.git.commit is not None
    assert state.git.dirty
    assert tree_of(restored(observation, tmp_path / "restored")) == tree_of(repo)


def make_hostile(root: Path, canary: Path) -> None:
    """Configure every program that git can be told to run; each leaves the canary behind."""
    script = root / ".git" / "evil"
    script.write_text(f"#!/bin/sh\ntouch '{canary}'\ncat\nexit 0\n")
    script.chmod(0o755)
    hooks = root / ".git" / "evil-hooks"
    hooks.mkdir()
    for hook in ("post-index-change", "pre-commit", "fsmonitor-watchman", "reference-transaction"):
        for place in (hooks, root / ".git" / "hooks"):
            place.mkdir(exist_ok=True)
            shutil.copy(script, place / hook)
    for key in (
        "core.fsmonitor", "core.pager", "core.editor", "core.sshCommand", "core.askPass",
        "core.gitProxy", "core.alternateRefsCommand", "diff.external", "diff.evil.textconv",
        "diff.evil.command", "filter.evil.clean", "filter.evil.smudge", "merge.evil.driver",
        "pager.ls-files", "pager.rev-parse", "pager.config", "pager.diff-index", "gpg.program",
        "credential.helper", "interactive.diffFilter", "sequence.editor",
    ):  # fmt: skip
        git(root, "config", key, str(script))
    git(root, "config", "core.hooksPath", str(hooks))
    git(root, "config", "filter.evil.required", "true")
    for alias in ("ls-files", "rev-parse", "status", "diff-index"):
        git(root, "config", f"alias.{alias}", f"!{script}")
    (root / ".git" / "info").mkdir(exist_ok=True)
    (root / ".git" / "info" / "attributes").write_text("* filter=evil diff=evil merge=evil\n")


def test_hostile_configuration_runs_nothing(repo: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    make_hostile(repo, canary)
    # Same size, other time: only a comparison of the content can tell, which invites the filter.
    content = (repo / "train.py").read_bytes()
    (repo / "train.py").write_bytes(content)
    os.utime(repo / "train.py", (10**9, 10**9))
    (repo / "conf" / "mlp.yaml").write_text("width: 9\n")
    canary.unlink(missing_ok=True)
    observation = observed(repo, tmp_path)
    assert not canary.exists()
    assert tree_of(restored(observation, tmp_path / "restored")) == tree_of(repo)
    # The trap works: a plain git status springs it.
    subprocess.run(["git", "status"], cwd=repo, capture_output=True)
    assert canary.exists()


def test_hostile_submodule_runs_nothing(repo: Path, tmp_path: Path) -> None:
    submodule(repo)
    canary = tmp_path / "canary"
    module = repo / "ext" / "lib"
    script = tmp_path / "evil"
    script.write_text(f"#!/bin/sh\ntouch '{canary}'\ncat\n")
    script.chmod(0o755)
    for key in ("core.fsmonitor", "filter.evil.clean", "diff.external"):
        git(module, "config", key, str(script))
    (module / ".gitattributes").write_text("* filter=evil\n")
    canary.unlink(missing_ok=True)
    observed(repo, tmp_path)
    assert not canary.exists()


def test_partial_clone_fetches_nothing(repo: Path, tmp_path: Path) -> None:
    git(repo, "config", "uploadpack.allowFilter", "true")
    git(repo, "config", "uploadpack.allowAnySHA1InWant", "true")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--filter=tree:0", "--no-checkout", repo.as_uri(), str(clone))
    observation = observed(clone, tmp_path)  # compares .git before and after
    assert observation.snapshot.coverage.level in (Level.COMPLETE, Level.PARTIAL)


def test_environment_of_a_hook_does_not_mislead(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "nothing"))
    state = state_of(observed(repo, tmp_path))
    assert {entry.path for entry in state.files} == {"train.py", "conf/mlp.yaml"}


def test_clean_filter_is_not_run_and_said(repo: Path, tmp_path: Path) -> None:
    git(repo, "config", "filter.upper.clean", "tr a-z A-Z")
    (repo / ".gitattributes").write_text("*.dat filter=upper\n")
    (repo / "x.dat").write_text("abc\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "filtered")
    time.sleep(0.01)
    os.utime(repo / "x.dat", (10**9, 10**9))
    observation = observed(repo, tmp_path)
    assert any("x.dat" in reason for reason in observation.snapshot.coverage.reasons)
    assert tree_of(restored(observation, tmp_path / "restored")) == tree_of(repo)


def test_large_file_storage_pointer_is_understood(repo: Path, tmp_path: Path) -> None:
    content = b"large file content"
    pointer = (
        "version https://git-lfs.github.com/spec/v1\n"
        f"oid sha256:{hashlib.sha256(content).hexdigest()}\nsize {len(content)}\n"
    )
    (repo / "model.bin").write_text(pointer)
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "pointer")
    (repo / ".git" / "info").mkdir(exist_ok=True)
    (repo / ".git" / "info" / "attributes").write_text("*.bin filter=lfs\n")
    (repo / "model.bin").write_bytes(content)
    state = state_of(observed(repo, tmp_path))
    assert state.git is not None
    assert not state.git.dirty
    (repo / "model.bin").write_bytes(content + b"!")
    state = state_of(observed(repo, tmp_path))
    assert state.git is not None
    assert state.git.dirty
