"""What a trial was run by, taken from its launch, and in what two of them differ."""

from __future__ import annotations

import pytest

from trialbook.records.code import EntryPoint
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.coverage import Coverage
from trialbook.records.execution import LaunchState
from trialbook.records.programs import Program, brief_launch, program_differences

FILE = EntryPoint("file", path="lab/train.py", name="objective")
MODULE = EntryPoint("module", module="lab.train", name="objective")


def _run_by(entry: EntryPoint, *argv: str) -> Program:
    launch = LaunchState("host", None, 1, "", argv, "", entry, {}, (), "none")
    found = brief_launch(Snapshot.of(Kind.EXECUTION, Coverage.of(()), launch).document)
    assert found is not None
    return found.program


def _texts(before: Program, here: Program) -> list[tuple[str, str | None, str | None]]:
    return [(one.what, one.recorded, one.here) for one in program_differences(before, here)]


def test_a_launch_that_is_damaged_is_none():
    assert brief_launch("{") is None
    assert brief_launch('{"state": {"isolation": "none"}}') is None
    assert brief_launch('{"state": {"$text": "no hexadecimal digits"}}') is None


def test_an_argument_may_be_no_utf_8():
    assert _run_by(FILE, "python", "t.py", "caf\udce9").arguments == ("caf\udce9",)


@pytest.mark.parametrize(
    ("other", "differs"),
    [
        (FILE, False),
        (MODULE, False),
        (EntryPoint("module", module="lab.other", name="objective"), True),
        (EntryPoint("file", path="train.py", name="objective"), True),
        (EntryPoint("file", path="lab/train.py", name="other"), True),
        (EntryPoint("none", reason="typed"), False),
    ],
)
def test_an_objective_is_the_same_in_a_file_and_in_the_module_of_it(
    other: EntryPoint, differs: bool
):
    found = _texts(_run_by(FILE), _run_by(other))
    assert [what for what, _, _ in found] == ["objective"] * differs


@pytest.mark.parametrize(
    ("before", "here", "texts"),
    [
        ((), (), None),
        (("-n", "3", "--gpu"), ("-n", "4", "--gpu"), ("-n 3", "-n 4")),
        (("--n=3", "--gpu"), ("--n=4", "--gpu"), ("--n=3", "--n=4")),
        ((), ("--fast",), (None, "--fast")),
        (("a b", "c"), ("c",), ("'a b'", None)),
        (("x", "x"), ("x", "x", "x"), (None, "x")),
    ],
)
def test_of_arguments_those_are_told_that_differ(before, here, texts):
    found = _texts(_run_by(FILE, "python", "t.py", *before), _run_by(FILE, "python", "t.py", *here))
    assert found == ([] if texts is None else [("arguments", *texts)])


@pytest.mark.parametrize(
    "argv",
    [
        ("python", "/lib/trialbook/running/start.py", "child", "6", "1107"),
        ("python", "-m", "ipykernel_launcher", "-f", "/run/kernel-3f2a.json"),
    ],
)
def test_the_arguments_of_a_worker_and_of_a_kernel_are_nobodys(argv: tuple[str, ...]):
    found = _run_by(FILE, *argv)
    assert found.arguments is None
    assert _texts(found, _run_by(FILE, "python", "t.py", "--model", "b")) == []
