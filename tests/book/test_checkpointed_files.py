"""A file that was saved in a checkpoint is known by its content, while the book keeps it."""

from __future__ import annotations

import hashlib

import pytest
from optuna.trial import TrialState
from sqlalchemy import update

from trialbook.book import schema
from trialbook.book.checkpointed_files import saved_in_checkpoints
from trialbook.book.located import Keeping
from trialbook.records.checkpoints import Told

NOTHING = Told({}, {}, {})


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def asked(storage, content):
    return saved_in_checkpoints(storage.book, digest(content), len(content))


@pytest.mark.parametrize("size", [0, 512, 100_000])
def test_a_saved_file_is_found_as_long_as_its_content_is_kept(storage, begin, tmp_path, size):
    attempt = begin()
    path = tmp_path / ("m" * 120 + ".bin")
    content = bytes(reversed(range(256))) * (size // 256 + 1)
    content = content[:size]
    path.write_bytes(content)
    attempt.save_checkpoint(path, NOTHING)
    storage.flush()

    name = f"1: {path.name}"
    assert asked(storage, content) == (
        Keeping("checkpoint", name, "digits", 0, "RUNNING", 1, True),
    )
    assert asked(storage, b"x" * size + b"x") == ()

    trial_id = storage.get_trial_id_from_study_id_trial_number(1, 0)
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.5])
    assert asked(storage, content) == ()


def test_a_file_of_a_directory_and_a_damaged_archive_are_passed_by(storage, begin, tmp_path):
    attempt = begin()
    directory = tmp_path / "saved"
    directory.mkdir()
    (directory / "a").write_bytes(b"first")
    (directory / "b").write_bytes(b"other")
    attempt.save_checkpoint(directory, NOTHING)
    storage.flush()
    assert [k.name for k in asked(storage, b"other")] == ["1: saved/b"]

    with storage.book.writing() as connection:
        connection.execute(update(schema.blob).values(content=b"no archive"))
    assert asked(storage, b"other") == ()
