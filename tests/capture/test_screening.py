"""Screening gives the verdict of the rules, whether it remembers or judges anew."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from trialbook.capture import screening
from trialbook.capture.screening import Screening

HARMLESS = b"width: 8\n"
TOKEN = b"PASSWORD=" + b"correct-horse-7x" + b"\n"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that the rules are asked about."""
    paths: list[str] = []
    real = screening.looks_secret

    def counting(content, path, **options):  # type: ignore[no-untyped-def]
        paths.append(path)
        return real(content, path, **options)

    monkeypatch.setattr(screening, "looks_secret", counting)
    return paths


def test_harmless_files_are_judged_once_across_processes(tmp_path: Path, judged: list[str]) -> None:
    first = Screening(tmp_path)
    assert first.reason(HARMLESS, digest(HARMLESS), "conf.yaml") is None
    assert first.reason(HARMLESS, digest(HARMLESS), "conf.yaml") is None
    first.save()
    second = Screening(tmp_path)
    assert second.reason(HARMLESS, digest(HARMLESS), "conf.yaml") is None
    assert judged == ["conf.yaml"]


def test_the_same_content_under_another_name_is_judged_anew(
    tmp_path: Path, judged: list[str]
) -> None:
    it = Screening(tmp_path)
    assert it.reason(HARMLESS, digest(HARMLESS), "conf.yaml") is None
    assert it.reason(HARMLESS, digest(HARMLESS), ".env") is not None
    assert judged == ["conf.yaml", ".env"]


def test_credentials_are_found_every_time_and_not_remembered(tmp_path: Path) -> None:
    for _ in range(2):
        it = Screening(tmp_path)
        assert it.reason(TOKEN, digest(TOKEN), ".env") is not None
        it.save()
    assert not list(tmp_path.rglob("*.msgpack"))


def test_a_new_secret_of_the_environment_beats_what_is_remembered(tmp_path: Path) -> None:
    secret = "s3" + "cr3t-v4lue-0f-th1s-t3st"
    content = f"print('{secret}')\n".encode()
    it = Screening(tmp_path)
    assert it.reason(content, digest(content), "a.py") is None
    it.save()
    it = Screening(tmp_path, secrets=[secret])
    assert it.reason(content, digest(content), "a.py") is not None


def test_other_rules_forget_everything(
    tmp_path: Path, judged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    it = Screening(tmp_path)
    it.reason(HARMLESS, digest(HARMLESS), "a.yaml")
    it.save()
    changed = tmp_path / "rules.py"
    changed.write_text("# other rules\n")
    monkeypatch.setattr(screening.credentials, "__file__", str(changed))
    Screening(tmp_path).reason(HARMLESS, digest(HARMLESS), "a.yaml")
    assert judged == ["a.yaml", "a.yaml"]


def test_processes_that_save_together_keep_both(tmp_path: Path, judged: list[str]) -> None:
    one, two = Screening(tmp_path), Screening(tmp_path)
    one.reason(HARMLESS, digest(HARMLESS), "one")
    two.reason(HARMLESS, digest(HARMLESS), "two")
    one.save()
    two.save()
    three = Screening(tmp_path)
    three.reason(HARMLESS, digest(HARMLESS), "one")
    three.reason(HARMLESS, digest(HARMLESS), "two")
    assert judged == ["one", "two"]


@pytest.mark.parametrize("junk", [b"", b"\xc1", b"\x93\x01\x02\x03"])
def test_a_broken_file_is_no_error(tmp_path: Path, junk: bytes) -> None:
    it = Screening(tmp_path)
    it.reason(HARMLESS, digest(HARMLESS), "a")
    it.save()
    (file,) = tmp_path.rglob("*.msgpack")
    file.write_bytes(junk)
    again = Screening(tmp_path)
    assert again.reason(TOKEN, digest(TOKEN), ".env") is not None
    assert again.reason(HARMLESS, digest(HARMLESS), "b") is None
    again.save()
