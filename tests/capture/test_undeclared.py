"""The import watch belongs to a process, so each case runs in one of its own."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from trialbook.records.canonical import digest_of_bytes

PRELUDE = """
import json, os, sys, time
from pathlib import Path
from trialbook.capture.imports import install_import_watch
install_import_watch()
from trialbook.capture.data import DataProbe
base = Path(sys.argv[1])

def told(probe):
    snapshot = probe.observe().snapshot
    print(json.dumps({"undeclared": snapshot.state["undeclared"],
                      "reasons": snapshot.coverage.reasons, "level": snapshot.coverage.level}))
"""


def run(tmp_path: Path, script: str) -> list[dict]:
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(script), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(autouse=True)
def files(tmp_path):
    (tmp_path / "tmp").mkdir()
    for name in ("declared.csv", "other.csv", "book.db", "conf.yaml"):
        (tmp_path / name).write_text(name)
    (tmp_path / "empty.yaml").touch()
    (tmp_path / "images").mkdir()
    (tmp_path / "images/1.png").write_text("png")


def test_reads_without_a_declaration_are_recorded_with_digests(tmp_path):
    (told,) = run(
        tmp_path,
        """
        probe = DataProbe({"d": "declared.csv", "i": "images"}, base=base,
                          exclude=[base / "book.db"],
                          is_code=lambda path: path.endswith("conf.yaml"))
        probe.observe()
        for name in ("declared.csv", "other.csv", "conf.yaml", "book.db", "images/1.png"):
            open(base / name).read()
        open("/etc/passwd").read()
        open("/proc/self/stat").read()
        (base / "written.txt").write_text("x"); (base / "written.txt").read_text()
        told(probe)
        """,
    )
    assert told["undeclared"] == [
        {
            "path": str(tmp_path / "other.csv"),
            "size_bytes": 9,
            "digest": digest_of_bytes(b"other.csv"),
        }
    ]
    assert told["level"] == "complete"


def test_a_read_is_noticed_as_a_change_once(tmp_path):
    lines = run(
        tmp_path,
        """
        probe = DataProbe({}, base=base)
        probe.observe()
        print(json.dumps({"changed": probe.changed()}))
        open(base / "other.csv").read()
        print(json.dumps({"changed": probe.changed()}))
        told(probe)
        print(json.dumps({"changed": probe.changed()}))
        open(base / "other.csv").read()
        print(json.dumps({"changed": probe.changed()}))
        os.utime(base / "other.csv", ns=(1, 1))
        print(json.dumps({"changed": probe.changed()}))
        """,
    )
    changed = [line["changed"] for line in lines if "changed" in line]
    assert changed == [False, True, False, False, True]


def test_what_cannot_be_digested_is_said(tmp_path):
    (tmp_path / ".env").write_text("PASSWORD=canary")
    (told,) = run(
        tmp_path,
        """
        probe = DataProbe({}, base=base)
        open(base / ".env").read()
        open(base / "other.csv").read(); (base / "other.csv").unlink()
        open(base / "conf.yaml").read()
        time.sleep(0.05)
        os.system(f"echo changed > {base}/conf.yaml")
        told(probe)
        """,
    )
    said = " ".join(told["reasons"])
    assert told["level"] == "partial"
    assert ".env holds credentials" in said
    assert "other.csv was read and cannot be read again" in said
    assert "conf.yaml was changed after it was read" in said
    assert [Path(file["path"]).name for file in told["undeclared"]] == ["conf.yaml"]


def test_native_readers_are_named_as_a_limit(tmp_path):
    (told,) = run(
        tmp_path,
        """
        sys.modules["h5py"] = sys.modules["json"]
        told(DataProbe({}, base=base))
        """,
    )
    assert told["level"] == "complete"
    assert any("h5py" in reason for reason in told["reasons"])


def test_what_trialbook_reads_itself_is_not_noticed(tmp_path):
    (told,) = run(
        tmp_path,
        """
        from trialbook.capture.config import ConfigProbe
        from trialbook.capture.environment import EnvironmentProbe
        ConfigProbe("empty.yaml", base=base).observe()
        EnvironmentProbe(base).observe()
        probe = DataProbe({"d": "declared.csv", "i": "images"}, base=base, paranoid=True)
        probe.observe()
        told(DataProbe({}, base=base))
        """,
    )
    assert told["undeclared"] == []
