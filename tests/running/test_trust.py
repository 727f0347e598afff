"""A study is trusted where it was created, and nowhere else."""

from __future__ import annotations

import pytest

import trialbook
from trialbook.errors import UntrustedCodeError
from trialbook.running.trust import created_here, key_file, require_trust


def record(url):
    storage = trialbook.BookStorage(url)
    return storage.get_study_record(storage.get_study_id_from_name("s"))


def test_trusted_here_and_refused_elsewhere(url, tmp_path, monkeypatch):
    trialbook.create_study(study_name="s", storage=url)
    assert created_here(record(url))
    require_trust(record(url), trust=False)
    assert key_file().stat().st_mode & 0o777 == 0o600

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    assert not created_here(record(url))
    with pytest.raises(UntrustedCodeError, match="nothing shows that the study was created"):
        require_trust(record(url), trust=False)
    require_trust(record(url), trust=True)


def test_a_home_that_cannot_be_written_is_no_error(url, tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(blocked))
    trialbook.create_study(study_name="s", storage=url)
    assert not created_here(record(url))
