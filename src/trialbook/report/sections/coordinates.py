"""What located the result: code, data and environment of the trial that is shown."""

from __future__ import annotations

from collections.abc import Iterator

from trialbook.analysis.columns import Cell, Column, Holds, Table
from trialbook.analysis.details import TrialDetail
from trialbook.book.study_facts import SnapshotUse, snapshot_uses
from trialbook.errors import BookCorruptError, NotFoundError
from trialbook.records.code import CodeState
from trialbook.records.coordinates import Kind
from trialbook.records.data import DataState, InputState
from trialbook.records.environment import EnvironmentState, Package
from trialbook.records.sizes import size_text
from trialbook.report.document import Block, Fact, Facts, Notice, Paragraph, Section
from trialbook.report.source import ReportSource, snapshot_state
from trialbook.report.wording import counted

WITHHELD = "withheld"
_SHOWN = 25
_WRITERS = ("trialbook", "optuna")


def coordinates(source: ReportSource) -> Section:
    """Commit, manifest, data digests and environment; how many others the study's trials had."""
    uses = snapshot_uses(source.reader.book, source.study.study_id)
    blocks: list[Block] = []
    if source.shown is None or not uses:
        blocks.append(
            Notice(
                "No coordinates are recorded: no trial was tracked. Decorate the objective with "
                "trialbook.tracked_objective, and code, data, configuration and environment are."
            )
        )
        return Section("coordinates", "Code, data and environment", tuple(blocks))
    shown = source.shown
    blocks += [
        Paragraph(f"Recorded of trial {shown.trial.number} before its objective ran."),
        *_code(source, shown),
        *_data(source, shown),
        *_environment(source, shown),
        source.table(
            "snapshots",
            "The snapshots of code, data, configuration and environment that the study's trials "
            "name.",
            _uses_table(uses),
            shown=_SHOWN,
        ),
        source.table(
            "versions",
            "Versions that wrote the trials, as recorded with them.",
            _versions_table(source, uses),
        ),
    ]
    return Section("coordinates", "Code, data and environment", tuple(blocks))


def _code(source: ReportSource, shown: TrialDetail) -> Iterator[Block]:
    state = snapshot_state(shown, Kind.CODE, CodeState)
    if state is None:
        yield Notice("The code was not recorded.")
        return
    git = state.git
    facts = []
    if git is None:
        facts.append(Fact("commit", "no git repository"))
    elif source.anonymous:
        # A commit that is public is found by its hash, and its authors with it.
        facts.append(Fact("commit", WITHHELD))
    else:
        facts += [
            Fact("commit", git.commit or "none yet", Holds.CODE),
            Fact("branch", git.branch or "none", Holds.CODE),
            Fact("remote", git.remote or "none", Holds.CODE),
        ]
    if git is not None:
        facts.append(
            Fact("differs from the commit", git.dirty, note="the manifest has what was there")
        )
    missing = sum(not entry.embedded for entry in state.files)
    facts += [
        Fact("files in the manifest", len(state.files), Holds.INTEGER),
        Fact("their size", size_text(sum(entry.size_bytes for entry in state.files))),
        Fact("of these loaded by the trial", len(state.loaded), Holds.INTEGER),
        Fact("of these kept by digest only", missing, Holds.INTEGER),
        Fact("identity of the loaded code", state.identity, Holds.DIGEST),
    ]
    yield Facts(tuple(facts))


def _data(source: ReportSource, shown: TrialDetail) -> Iterator[Block]:
    state = snapshot_state(shown, Kind.DATA, DataState)
    if state is None:
        yield Notice("Data was not recorded.")
        return
    if state.inputs:
        yield source.table(
            "data",
            "Declared inputs. The digest of a directory or glob is that of its sorted manifest.",
            Table(
                (
                    Column("input", Holds.CODE),
                    Column("kind"),
                    Column("size", Holds.INTEGER, "byte"),
                    Column("files", Holds.INTEGER),
                    Column("content was read"),
                    Column("SHA-256", Holds.DIGEST),
                ),
                tuple(_input_row(one) for one in state.inputs),
            ),
        )
    else:
        yield Notice("The objective declared no input.")
    if state.undeclared:
        yield Notice(
            f"The trial read {counted(len(state.undeclared), 'file')} that it had not declared; "
            "their digests are recorded."
        )


def _input_row(one: InputState) -> tuple[Cell, ...]:
    files = len(one.files) if one.kind != "file" else 1
    return one.name, one.kind, one.size_bytes, files, one.verified, one.digest


def _environment(source: ReportSource, shown: TrialDetail) -> Iterator[Block]:
    state = snapshot_state(shown, Kind.ENVIRONMENT, EnvironmentState)
    if state is None:
        yield Notice("The environment was not recorded.")
        return
    yield Facts(tuple(_environment_facts(state, anonymous=source.anonymous)))
    packages = [p for p in state.packages if not source.anonymous or p.origin == "index"]
    hidden = len(state.packages) - len(packages)
    yield source.table(
        "packages",
        "Installed distributions."
        + (f" {hidden} that came from no package index are withheld." if hidden else ""),
        _packages_table(packages),
        shown=_SHOWN,
    )
    if state.lock_files:
        yield source.table(
            "lock-files",
            "Lock files at the root of the code.",
            Table(
                (Column("file", Holds.CODE), Column("SHA-256", Holds.DIGEST)),
                tuple(sorted(state.lock_files.items())),
            ),
        )
    else:
        yield Notice("There was no lock file at the root of the code.")


def _environment_facts(state: EnvironmentState, *, anonymous: bool) -> Iterator[Fact]:
    python, machine = state.interpreter, state.machine
    yield Fact("Python", f"{python.implementation} {python.version}")
    system = [machine.distribution, f"{machine.system} {machine.kernel}", machine.architecture]
    yield Fact("system", ", ".join(part for part in system if part))
    yield Fact("C library", machine.libc)
    yield Fact("processor", machine.cpu_model)
    cpus = machine.cpu_count if machine.cpu_affinity is None else machine.cpu_affinity
    yield Fact("processors to use", cpus, Holds.INTEGER, note=f"of {machine.cpu_count}")
    yield Fact("memory", size_text(machine.memory_bytes))
    yield Fact("GPUs", "; ".join(machine.gpus) or "none")
    if machine.gpus:
        yield Fact("GPU driver", machine.gpu_driver)
        yield Fact("CUDA", machine.cuda)
    for pool in state.thread_pools:
        kernel = f", {pool.kernel}" if pool.kernel else ""
        yield Fact(
            f"threads of {pool.library}",
            pool.threads,
            Holds.INTEGER,
            note=f"{pool.version or 'version not known'}{kernel}",
        )
    for name, value in sorted(state.determinism.items()):
        yield Fact(name, str(value), Holds.CODE)
    if not anonymous:
        for name, value in sorted(state.variables.items()):
            yield Fact(name, value, Holds.CODE)
        yield Fact("locale", state.locale)
        yield Fact("time zone", state.timezone)
        yield Fact("container", state.container or "none")


def _packages_table(packages: list[Package]) -> Table:
    return Table(
        (
            Column("distribution", Holds.CODE),
            Column("version", Holds.CODE),
            Column("origin"),
            Column("digest of its files", Holds.DIGEST),
        ),
        tuple((p.name, p.version, p.origin, p.record_digest) for p in packages),
    )


def _uses_table(uses: tuple[SnapshotUse, ...]) -> Table:
    return Table(
        (Column("coordinate"), Column("snapshot", Holds.DIGEST), Column("trials", Holds.INTEGER)),
        tuple((str(use.kind), use.digest, use.trials) for use in uses),
    )


def _versions_table(source: ReportSource, uses: tuple[SnapshotUse, ...]) -> Table:
    counts: dict[tuple[str | None, ...], int] = {}
    for use in uses:
        if use.kind is not Kind.ENVIRONMENT:
            continue
        try:
            state = source.reader.snapshot(use.digest).state_as(EnvironmentState)
            versions = {package.name: package.version for package in state.packages}
        except (NotFoundError, BookCorruptError):
            versions = {}  # 'verify' names it; the versions stay "not recorded"
        key = tuple(versions.get(name) for name in _WRITERS)
        counts[key] = counts.get(key, 0) + use.trials
    return Table(
        (Column("Trialbook"), Column("Optuna"), Column("trials", Holds.INTEGER)),
        tuple((*key, count) for key, count in counts.items()),
    )
