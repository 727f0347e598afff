"""A study of which everything is recorded, made by hand: no process, no capture.

Names of people, machines and places hold ``MARK``, so that a file that tells one of them is found
by its bytes. Texts that people choose (exceptions, gaps, changes) hold the same names.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from trialbook.book.reading import Reader
from trialbook.book.reruns import add_rerun
from trialbook.book.storage import BookStorage
from trialbook.records.blobs import Blob
from trialbook.records.code import CodeState, EntryPoint, FileEntry, GitState
from trialbook.records.config import ComponentSettings, ConfigState, SearchSettings
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.coverage import Coverage
from trialbook.records.data import DataState, InputState
from trialbook.records.distributions import distribution_of
from trialbook.records.environment import EnvironmentState, Interpreter, Machine, Package
from trialbook.records.execution import EndReason, LaunchState, OutcomeState, Seeds
from trialbook.records.replicates import (
    REPLICATE,
    REPLICATES,
    Configuration,
    GivenParam,
    Replicate,
    ReplicationLink,
    as_attribute,
)
from trialbook.records.study import StudySpec
from trialbook.records.test_metrics import series_name
from trialbook.records.verdict import RerunReport, Verdict
from trialbook.records.workers import Holder, WorkerIdentity

MARK = "zqmark"
STUDY = f"{MARK}study"
HOST, USER = f"{MARK}host.lab{MARK}.edu", f"{MARK}user"
HOME = f"/home/{USER}/{MARK}project"
REMOTE = f"git@github.com:{MARK}lab/{MARK}repo.git"
JOB = f"{MARK}job-77"
COMMIT = "c0ffee" + "0" * 34
TOLD = f"in {HOME}/src/train.py on {HOST} as {USER} <{USER}@{MARK}.org>, see https://{MARK}.org/x"
SOURCE = b"def objective(trial): ...\n"


@dataclass(frozen=True)
class Lacking:
    """What the study is made without, for tests of what is said then.

    Args:
        kinds: Coordinates that are not captured.
        spec: Sampler, pruner, seed and budget.
        inputs: Declared inputs.
        config: Anything in the configuration.
        variables: Environment variables, locale and time zone.
        contents: The code's file contents.
        cpu: The CPU time of attempts.
        rerun: The verdict.
        artifact: What the selected trial kept.
        test: Test metrics.
        gaps: The gap in the coverage of the environment.
        complete: Any complete trial.
        ended: The end of the last trial.
    """

    kinds: tuple[Kind, ...] = ()
    spec: bool = False
    inputs: bool = False
    config: bool = False
    variables: bool = False
    contents: bool = False
    cpu: bool = False
    rerun: bool = False
    artifact: bool = False
    test: bool = False
    gaps: bool = False
    complete: bool = False
    ended: bool = False


def tracked(
    storage: BookStorage,
    lacking: Lacking = Lacking(),
    *,
    name: str = STUDY,
    verdict: Verdict = Verdict.IDENTICAL,
) -> str:
    """Four trials: two complete, one pruned, one failed; the second is the best, and was rerun."""
    study_id = storage.create_new_study([StudyDirection.MAXIMIZE], name)
    if not lacking.spec:
        storage.set_study_spec(study_id, _spec())
    snapshots = [one for one in _snapshots(lacking) if one.kind not in lacking.kinds]
    tracks = set(Kind) - set(lacking.kinds)
    done = EndReason.PRUNED if lacking.complete else EndReason.COMPLETE
    for number, reason in enumerate((done, done, EndReason.PRUNED, EndReason.FAILED)):
        _trial(storage, study_id, number, reason, snapshots if tracks else [], lacking)
    if lacking.ended:
        storage.create_new_trial(study_id)
    storage.flush()
    if not lacking.rerun and not lacking.complete:
        attempt = Reader(storage.book).trial(f"{name}/1").attempts[0]
        report = RerunReport(f"{name}/1", verdict, "because", points=3, params=3)
        add_rerun(storage.book, attempt.attempt_id, report, HOST)
    return name


def tracked_once_more(storage: BookStorage, name: str = STUDY) -> None:
    """One more trial of it, which fails: the search went on."""
    study_id = storage.get_study_id_from_name(name)
    _trial(storage, study_id, 4, EndReason.FAILED, _snapshots(Lacking()), Lacking())
    storage.flush()


def replicated(
    storage: BookStorage, name: str = STUDY, trial: int = 1, own: str = f"{STUDY}-replicates"
) -> str:
    """A study of three replicates of one of its trials."""
    storage.flush()
    reader = Reader(storage.book)
    source = reader.study(name)
    chosen = reader.trial(f"{name}/{trial}")
    params = tuple(
        GivenParam(param.name, param.value, param.internal, param.distribution)
        for param in chosen.params
    )
    configuration = Configuration("best", params, trial, 1, chosen.values, chosen.record_digest)
    study_id = storage.create_new_study([StudyDirection.MAXIMIZE], own)
    link = ReplicationLink(source.uid, name, configuration.key, 1, "f" * 64, 4)
    storage.set_study_system_attr(study_id, REPLICATES, as_attribute(link))
    for index, value in enumerate((0.89, 0.9, 0.92)):
        replicate = Replicate(configuration, index, 500 + index)
        template = create_trial(
            value=value,
            intermediate_values={0: value},
            params={param.name: param.value for param in chosen.params},
            distributions={p.name: distribution_of(p.distribution) for p in chosen.params},
            system_attrs={REPLICATE: as_attribute(replicate)},
        )
        storage.create_new_trial(study_id, template)
    return own


def _spec() -> StudySpec:
    search = SearchSettings(
        sampler=ComponentSettings("TPESampler", {"n_startup_trials": 4}),
        pruner=ComponentSettings(f"{MARK}lab.pruners.Own", {}, by_name=False),
        seed=7,
        trials=4,
    )
    return StudySpec(
        search=search,
        objective=f"{HOME}/src/train.py:objective",
        changes=(f"trials: 3 -> 4, {TOLD}",),
        tags={"owner": USER},
    )


def _trial(
    storage: BookStorage,
    study_id: int,
    number: int,
    reason: EndReason,
    snapshots: list[Snapshot],
    lacking: Lacking,
) -> None:
    trial_id = storage.create_new_trial(study_id)
    worker = WorkerIdentity(f"{number + 1:032}", HOST, 40 + number, "slurm", JOB)
    attempt = storage.begin_attempt(
        trial_id,
        snapshots=snapshots,
        blobs=[] if lacking.contents else [Blob.of(SOURCE)],
        seeds=Seeds(trial=1000 + number, study=7, set_globals=("random", "numpy")),
        holder=Holder(worker),
    )
    storage.set_trial_param(
        trial_id, "lr", 0.1 / (number + 1), FloatDistribution(1e-5, 1, log=True)
    )
    storage.set_trial_param(trial_id, "units_1", 8.0 + number, IntDistribution(8, 64))
    choices = CategoricalDistribution(("adam", f"{HOME}/sgd"))
    storage.set_trial_param(trial_id, "optimizer", number % 2, choices)
    for step in range(3):
        attempt.log({"val_loss": 1.0 / (step + 1 + number)}, step, 1e9 + 10 * number + step)
        storage.set_trial_intermediate_value(trial_id, step, 0.5 + 0.1 * number + 0.01 * step)
    if reason is EndReason.COMPLETE and not lacking.test:
        attempt.log({series_name("accuracy"): 0.75 + 0.01 * number}, 2, 1e9 + 10 * number)
    if reason is EndReason.COMPLETE and not lacking.artifact:
        with NamedTemporaryFile() as model:
            model.write(b"weights")
            model.flush()
            attempt.add_artifact("model.bin", Path(model.name), "application/octet-stream")
    failed = reason is EndReason.FAILED
    attempt.end(
        OutcomeState(
            reason,
            exception=f"{MARK}lab.errors.Diverged" if failed else None,
            message=f"diverged {TOLD}" if failed else None,
            traceback=f"Traceback {TOLD}" if failed else None,
            cpu_s=None if lacking.cpu else 1.5,
        )
    )
    state = {EndReason.PRUNED: TrialState.PRUNED, EndReason.FAILED: TrialState.FAIL}.get(
        reason, TrialState.COMPLETE
    )
    values = [0.9 + 0.01 * number] if state is TrialState.COMPLETE else None
    storage.set_trial_state_values(trial_id, state, values)


def _snapshots(lacking: Lacking) -> list[Snapshot]:
    whole = Coverage.of(())
    blob = Blob.of(SOURCE)
    entry = FileEntry(
        "train.py", "100644", len(SOURCE), blob.digest, loaded=True, embedded=not lacking.contents
    )
    git = GitState(COMMIT, f"{USER}/fix", REMOTE, dirty=True)
    path = f"{HOME}/data/train.csv"
    inputs = (InputState("train", "file", path, path, "d" * 64, 1234),)
    machine = Machine("Linux", "6.1", "x86_64", "Debian", "glibc 2.36", "EPYC", (), 64, 8, 2**34)
    python = Interpreter("CPython", "3.12.1", "", "", f"{HOME}/venv/bin/python", HOME, {}, "0")
    packages = (
        Package("numpy", "2.2.0", record_digest="a" * 64),
        Package("optuna", "5.0.0"),
        Package("trialbook", "0.1.0"),
        Package(f"{MARK}-lib", "0.1", "editable", f"file://{HOME}"),
    )
    environment = EnvironmentState(
        python,
        machine,
        packages,
        lock_files={"uv.lock": "b" * 64},
        variables={} if lacking.variables else {"OMP_NUM_THREADS": "4", "TZ": f"{MARK}/Town"},
        timezone=None if lacking.variables else f"{MARK}/Town",
        container=f"docker {MARK}container",
        job=f"slurm {JOB}",
    )
    launch = LaunchState(
        host=HOST,
        user=USER,
        pid=40,
        python=f"{HOME}/venv/bin/python",
        argv=("python", f"{HOME}/src/train.py"),
        cwd=HOME,
        entry=EntryPoint("file", path="train.py", name="objective"),
        bases={".": HOME},
        sys_path=(".:", f"{HOME}/lib"),
        isolation="fork",
        launcher="slurm",
        job_id=JOB,
    )
    config = ConfigState(
        source=f"{HOME}/conf/{MARK}.yaml",
        source_digest="e" * 64,
        resolved={}
        if lacking.config
        else {"epochs": 3, "data": {"root": f"{HOME}/data"}, "project": f"{MARK}repo"},
        overrides={"epochs": 3},
    )
    code = CodeState(git, (entry,))
    gaps = [] if lacking.gaps else [f"no driver {TOLD}"]
    return [
        Snapshot.of(Kind.CODE, whole, code),
        Snapshot.of(Kind.DATA, whole, DataState(() if lacking.inputs else inputs)),
        Snapshot.of(Kind.CONFIG, whole, config),
        Snapshot.of(Kind.ENVIRONMENT, Coverage.of(gaps), environment),
        Snapshot.of(Kind.EXECUTION, whole, launch),
    ]
