"""Verifying books that were damaged or forged on purpose: each mismatch is named."""

from __future__ import annotations

import hashlib
import json
import math
import re
import sqlite3
from pathlib import Path

import optuna
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from trialbook.book.blobs import IN_ROW_BYTES
from trialbook.book.book import Book
from trialbook.book.location import sqlite_path
from trialbook.book.reading import Reader
from trialbook.book.removal import remove_trial
from trialbook.book.seals import leaf, seal_of
from trialbook.book.storage import BookStorage
from trialbook.book.verification import verify
from trialbook.errors import NotFoundError
from trialbook.records.blobs import Blob
from trialbook.records.canonical import canonical_bytes
from trialbook.records.code import CodeState, FileEntry
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.coverage import Coverage
from trialbook.records.execution import Console, EndReason, OutcomeState, Seeds

ARTIFACT = b"artifact" * IN_ROW_BYTES
CODE = b"def objective(trial): ...\n"


@pytest.fixture
def damaged(storage: BookStorage, study_id: int, url: str, tmp_path: Path):
    """A book of three trials, and a function that changes it behind everybody's back."""
    code = Blob.of(CODE)
    snapshot = Snapshot.of(
        Kind.CODE,
        Coverage.of(()),
        CodeState(None, (FileEntry("train.py", "100644", len(CODE), code.digest, loaded=True),)),
    )
    console = Blob.of(b"printed\n")
    (tmp_path / "model").write_bytes(ARTIFACT)
    for number in range(3):
        trial_id = storage.claim(study_id).trial_id
        attempt = storage.begin_attempt(
            trial_id, snapshots=[snapshot], blobs=[code], seeds=Seeds(trial=number)
        )
        storage.set_trial_param(trial_id, "x", 0.5, optuna.distributions.FloatDistribution(0, 1))
        for step in range(5):
            attempt.log({"loss": 1.0 / (step + 1), "nan": math.nan}, step, 0.0)
        attempt.add_artifact("model", tmp_path / "model", "application/octet-stream")
        attempt.end(
            OutcomeState(EndReason.COMPLETE, stdout=Console(console.digest, 8, 8)), [console]
        )
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [float(number)])
    storage.close()

    def change(statement: str, *values: object) -> int:
        if url.startswith("sqlite"):
            connection = sqlite3.connect(sqlite_path(url))
        else:
            connection = psycopg.connect(url)
            connection.execute("SET session_replication_role = replica")  # no foreign keys
            statement = re.sub("x'([0-9A-F]*)'", r"'\\x\1'::bytea", statement)
            statement = statement.replace("?", "%s")
        try:
            count = connection.execute(statement, values).rowcount
            connection.commit()
            return count
        finally:
            connection.close()

    return change


def _found(url: str, study: str | None = None, **settings: object) -> list[tuple[str, str, str]]:
    book = Book.open(url, create=False, read_only=True)
    try:
        return [(m.kind, m.where, m.what) for m in verify(book, study, **settings).mismatches]
    finally:
        book.close()


def test_a_whole_book_has_no_mismatch_and_everything_was_looked_at(damaged, url):
    book = Book.open(url, create=False, read_only=True)
    result = verify(book)
    book.close()
    assert result.mismatches == ()
    assert (result.trials, result.series, result.snapshots, result.blobs) == (3, 6, 2, 3)


@pytest.mark.parametrize(
    ("statement", "kind", "named"),
    [
        ("UPDATE tb_trial SET params = '{\"x\":0.25}' WHERE number = 1", "record", "digits/1"),
        ("UPDATE tb_trial SET state = 2 WHERE number = 1", "record", "digits/1"),
        ("UPDATE tb_trial SET user_attrs = '{\"a\":1}' WHERE number = 1", "record", "digits/1"),
        ("UPDATE tb_trial SET record_digest = NULL WHERE number = 1", "record", "digits/1"),
        ("UPDATE tb_attempt SET seeds = '{}' WHERE attempt_id = 2", "record", "digits/1"),
        ("UPDATE tb_attempt SET prune_answers = '1' WHERE attempt_id = 2", "record", "digits/1"),
        ("UPDATE tb_attempt SET data = code WHERE attempt_id = 2", "record", "digits/1"),
        ("UPDATE tb_artifact SET name = 'other' WHERE attempt_id = 2", "record", "digits/1"),
        ("DELETE FROM tb_artifact WHERE attempt_id = 2", "record", "digits/1"),
        ("DELETE FROM tb_attempt WHERE attempt_id = 2", "record", "digits/1"),
        ("DELETE FROM tb_series WHERE attempt_id = 2 AND metric = 'nan'", "record", "digits/1"),
        ("DELETE FROM tb_trial_value WHERE trial_id = 2", "record", "digits/1"),
        ("UPDATE tb_trial_value SET value = 9.0 WHERE trial_id = 2", "value", "digits/1"),
        ("UPDATE tb_series SET last = 0.1 WHERE attempt_id = 2 AND metric = 'loss'",
         "points", "digits/1, attempt 1, metric loss"),
        ("UPDATE tb_series SET payload = x'00' WHERE attempt_id = 2 AND metric = 'loss'",
         "points", "digits/1, attempt 1, metric loss"),
        ("UPDATE tb_attempt SET outcome = '{' WHERE attempt_id = 2",
         "record", "digits/1, attempt 1"),
        ("UPDATE tb_snapshot SET document = document || ' ' WHERE kind = 'code'",
         "snapshot", "(the code of digits/0, attempt 1)"),
        ("DELETE FROM tb_snapshot WHERE kind = 'space'",
         "snapshot", "(the search space of digits/0)"),
        ("DELETE FROM tb_trial WHERE number = 1", "study", "digits"),
        ("DELETE FROM tb_trial WHERE number = 2", "study", "digits"),
    ],
)  # fmt: skip
def test_each_change_is_named(damaged, url, statement, kind, named):
    assert damaged(statement) >= 1
    found = _found(url)
    assert any(k == kind and named in where for k, where, _ in found), found
    assert _found(url, "digits") != []


def test_one_flipped_bit_of_a_value_is_found(damaged, url):
    damaged("UPDATE tb_trial_value SET bytes = x'010000000000F03F' WHERE trial_id = 2")
    kinds = {(kind, where) for kind, where, _ in _found(url)}
    assert kinds == {("record", "digits/1"), ("value", "digits/1")}


def test_one_flipped_byte_of_a_payload_is_found(damaged, url, path):
    connection = sqlite3.connect(path)
    payload = bytearray(
        connection.execute(
            "SELECT payload FROM tb_series WHERE attempt_id = 2 AND metric = 'nan'"
        ).fetchone()[0]
    )
    connection.close()
    for place in range(len(payload)):
        changed = bytearray(payload)
        changed[place] ^= 1
        damaged(
            "UPDATE tb_series SET payload = ? WHERE attempt_id = 2 AND metric = 'nan'",
            bytes(changed),
        )
        assert ("record", "digits/1") in {(k, w) for k, w, _ in _found(url, "digits")}, place


def _blob_named(found, digest: bytes, by: str) -> bool:
    name = hashlib.sha256(digest).hexdigest()
    return any(k == "blob" and where == f"{name} ({by})" for k, where, _ in found)


def test_a_changed_or_lost_blob_is_named_with_who_needs_it(damaged, url):
    code, console = hashlib.sha256(CODE).hexdigest(), hashlib.sha256(b"printed\n").hexdigest()
    damaged("UPDATE tb_blob SET content = x'00' WHERE digest = ?", code)
    damaged("DELETE FROM tb_blob WHERE digest = ?", console)
    found = _found(url)
    assert _blob_named(found, CODE, "file train.py of the code of digits/0, attempt 1")
    assert _blob_named(found, b"printed\n", "stdout of digits/0, attempt 1")
    assert len(found) == 2


@pytest.mark.parametrize("damage", ["flip", "drop", "truncate", "size"])
def test_a_changed_or_lost_blob_file_is_named(damaged, url, path, damage):
    (file,) = (p for p in path.with_name("book.db.blobs").rglob("*") if p.is_file())
    if damage == "flip":
        file.write_bytes(b"b" + ARTIFACT[1:])
    elif damage == "drop":
        file.unlink()
    elif damage == "truncate":
        file.write_bytes(ARTIFACT[:-1])
    else:
        damaged("UPDATE tb_blob SET size = size + 1 WHERE location IS NOT NULL")
    found = _found(url)
    assert _blob_named(found, ARTIFACT, "artifact model of digits/0, attempt 1")
    assert len(found) == 1


def test_contents_that_nothing_names_are_verified_with_the_whole_book_only(damaged, url):
    damaged("INSERT INTO tb_blob (digest, size, content) VALUES (?, 1, x'00')", "f" * 64)
    damaged("INSERT INTO tb_snapshot (digest, kind, document) VALUES (?, 'code', '{}')", "e" * 64)
    assert {kind for kind, _, _ in _found(url)} == {"blob", "snapshot"}
    assert _found(url, "digits") == []


def test_a_page_that_is_no_longer_a_page_is_found(damaged, url, path):
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (page,) = connection.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = 'tb_rerun'"
    ).fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * 100)
    assert "database" in {kind for kind, _, _ in _found(url)}


@given(
    st.integers(0, 2**53 - 1),
    st.sampled_from(["COMPLETE", "FAIL", "RUNNING"]),
    st.one_of(st.none(), st.binary(min_size=32, max_size=32).map(bytes.hex)),
)
def test_a_leaf_is_the_canonical_json_of_its_parts(number, state, digest):
    assert leaf(number, state, digest) == canonical_bytes([number, state, digest])


def test_the_seal_is_that_of_rfc_6962_over_the_leaves(storage, study_id):
    """Computed here by the recursive definition, from the rows themselves."""
    study = optuna.load_study(study_name="digits", storage=storage)
    for number in range(7):
        study.add_trial(create_trial(value=float(number)))
    study.enqueue_trial({"x": 1})
    remove_trial(storage.book, Reader(storage.book).trial("digits/3"))
    names = {0: "RUNNING", 1: "COMPLETE", 4: "WAITING"}
    with storage.book.reading() as connection:
        leaves = [
            json.dumps([number, names[state], digest], separators=(",", ":")).encode()
            for number, state, digest in connection.exec_driver_sql(
                "SELECT number, state, record_digest FROM tb_trial ORDER BY number"
            )
        ]

    def root(items: list[bytes]) -> bytes:
        if len(items) == 1:
            return hashlib.sha256(b"\x00" + items[0]).digest()
        k = 1
        while k * 2 < len(items):
            k *= 2
        return hashlib.sha256(b"\x01" + root(items[:k]) + root(items[k:])).digest()

    assert len(leaves) == 8
    assert seal_of(storage.book, study_id) == root(leaves).hex()
    (seal,) = verify(storage.book).seals
    assert (seal.trials, seal.unfinished, seal.deleted) == (8, 1, 1)


def test_the_seal_changes_with_every_trial_and_every_result(storage, study_id):
    study = optuna.load_study(study_name="digits", storage=storage)
    seals = [seal_of(storage.book, study_id)]
    trial = study.ask()
    seals.append(seal_of(storage.book, study_id))
    study.tell(trial, 1.0)
    seals.append(seal_of(storage.book, study_id))
    study.add_trial(create_trial(state=TrialState.FAIL))
    seals.append(seal_of(storage.book, study_id))
    assert len(set(seals)) == 4
    assert seal_of(storage.book, study_id) == seals[-1]


def test_a_seal_given_is_held_against_the_book(storage, study_id, url):
    storage.create_new_study([StudyDirection.MINIMIZE], "other")
    optuna.load_study(study_name="other", storage=storage).add_trial(create_trial(value=1.0))
    right = seal_of(storage.book, study_id)
    assert _found(url, seal=right) == []
    assert _found(url, "digits", seal=right.upper() + "\n") == []
    ((kind, where, what),) = _found(url, "other", seal=right)
    assert (kind, where) == ("seal", "other")
    assert f"not {right}" in what
    ((kind, _, what),) = _found(url, seal="0" * 64)
    assert (kind, what) == ("seal", f"no study has the seal {'0' * 64}")


def test_a_forger_who_recomputes_the_record_is_betrayed_by_the_seal(damaged, url):
    from trialbook.book.record_digest import record_digest

    book = Book.open(url)
    before = {s.study: s.seal for s in verify(book).seals}["digits"]
    damaged("UPDATE tb_trial_value SET value = 7.0, bytes = x'0000000000001C40' WHERE trial_id = 2")
    with book.reading() as connection:
        forged = record_digest(connection, 2)
    book.close()
    damaged("UPDATE tb_trial SET record_digest = ? WHERE trial_id = 2", forged)
    assert _found(url) == []
    assert [kind for kind, _, _ in _found(url, "digits", seal=before)] == ["seal"]


def test_an_unknown_study_is_an_error_and_an_empty_one_is_whole(storage, study_id):
    with pytest.raises(NotFoundError):
        verify(storage.book, "nothing")
    result = verify(storage.book, "digits")
    assert (result.mismatches, result.seals[0].trials) == ((), 0)
    assert result.seals[0].seal == hashlib.sha256(b"").hexdigest()


def test_a_trial_that_runs_is_no_mismatch(storage, study_id):
    trial_id = storage.claim(study_id).trial_id
    attempt = storage.begin_attempt(trial_id, snapshots=[], seeds=Seeds(trial=1))
    for value in (1.0, math.nan):
        attempt.log({"loss": value}, 0, 0.0)
        attempt.flush()
    result = verify(storage.book)
    assert (result.mismatches, result.trials, result.series) == ((), 0, 2)
    assert result.seals[0].unfinished == 1
