from dataclasses import replace

import pytest

from trialbook.errors import InvalidInputError
from trialbook.records.code import CodeState, EntryPoint, FileEntry, GitState
from trialbook.records.config import ComponentSettings, ConfigState, SearchSettings
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.coverage import Coverage
from trialbook.records.data import DataFile, DataState, InputState
from trialbook.records.differences import coordinate_differences
from trialbook.records.environment import (
    EnvironmentState,
    Interpreter,
    Machine,
    Package,
    ThreadPool,
)
from trialbook.records.execution import LaunchState

D1, D2 = "1" * 64, "2" * 64


def snapshot(kind, state):
    return Snapshot.of(kind, Coverage.of([]), state)


def pairs(kind, recorded, here):
    differences = coordinate_differences(snapshot(kind, recorded), snapshot(kind, here))
    assert all(difference.kind == kind for difference in differences)
    return [(d.what, d.recorded, d.here) for d in differences]


def test_nothing_differs_from_itself_and_from_nothing():
    state = ConfigState(resolved={"lr": 0.1})
    assert coordinate_differences(None, None) == ()
    assert pairs(Kind.CONFIG, state, state) == []


def test_a_missing_snapshot_is_one_difference():
    here = snapshot(Kind.DATA, DataState())
    (difference,) = coordinate_differences(None, here)
    assert (difference.kind, difference.what) == ("data", "snapshot")
    assert (difference.recorded, difference.here) == (None, here.digest)
    (difference,) = coordinate_differences(here, None)
    assert (difference.recorded, difference.here) == (here.digest, None)


def test_two_coordinates_cannot_be_compared():
    with pytest.raises(InvalidInputError):
        coordinate_differences(
            snapshot(Kind.DATA, DataState()), snapshot(Kind.CODE, CodeState(None, ()))
        )


def file(path, digest, *, loaded=True, base="."):
    return FileEntry(path, "100644", 1, digest, base, loaded)


def test_code_is_compared_by_loaded_files():
    recorded = CodeState(
        GitState("a" * 40, "main", None, False),
        (
            file("same.py", D1),
            file("changed.py", D1),
            file("gone.py", D1),
            file("idle.txt", D1, loaded=False),
            file("later.py", D1, loaded=False),
            file("lib.py", D1, base="outside-1"),
        ),
    )
    here = CodeState(
        GitState("b" * 40, "other", None, True),
        (
            file("same.py", D1),
            file("changed.py", D2),
            file("new.py", D2),
            file("idle.txt", D2, loaded=False),
            file("later.py", D1),
            file("lib.py", D2, base="outside-1"),
        ),
    )
    assert pairs(Kind.CODE, recorded, here) == [
        ("changed.py", D1, D2),
        ("gone.py", D1, None),
        ("new.py", None, D2),
        ("outside-1:lib.py", D1, D2),
    ]


def test_data_is_compared_by_input_and_file():
    def folder(*files):
        return InputState("images", "directory", "i", "/i", D1 if len(files) == 1 else D2, 1, files)

    recorded = DataState(
        (
            InputState("train", "file", "a", "/a", D1, 1),
            InputState("old", "file", "b", "/b", D1, 1),
            folder(DataFile("1.png", 1, D1)),
        ),
        (DataFile("/x", 1, D1), DataFile("/only-there", 1, D1)),
    )
    here = DataState(
        (
            InputState("train", "file", "elsewhere", "/elsewhere/a", D2, 1),
            InputState("new", "file", "c", "/c", D1, 1),
            folder(DataFile("1.png", 1, D2), DataFile("2.png", 1, D1)),
        ),
        (DataFile("/x", 1, D2), DataFile("/only-here", 1, D1)),
    )
    assert pairs(Kind.DATA, recorded, here) == [
        ("images/1.png", D1, D2),
        ("images/2.png", None, D1),
        ("new", None, D1),
        ("old", D1, None),
        ("train", D1, D2),
        ("/x", D1, D2),
    ]


def test_data_that_only_lies_elsewhere_is_the_same():
    recorded = DataState((InputState("train", "file", "a", "/a", D1, 1),))
    here = DataState((InputState("train", "file", "a", "/mnt/a", D1, 1, verified=False),))
    assert pairs(Kind.DATA, recorded, here) == []


def test_config_is_compared_by_dotted_key():
    recorded = ConfigState(
        resolved={"lr": 0.1, "model": {"depth": 3, "act": "relu"}, "gone": None, "e": {}},
        overrides={"lr": 0.1},
    )
    here = ConfigState(
        source="conf.yaml",
        resolved={"lr": 1e-3, "model": {"depth": 3, "act": "gelu", "new": [1]}, "e": {}},
    )
    assert pairs(Kind.CONFIG, recorded, here) == [
        ("gone", "null", None),
        ("lr", "0.1", "0.001"),
        ("model.act", "relu", "gelu"),
        ("model.new", None, "[1]"),
    ]


def test_the_search_is_compared_where_both_know_it():
    tpe = SearchSettings(ComponentSettings("TPESampler", {"seed": 1}), seed=1)
    random = SearchSettings(ComponentSettings("RandomSampler", {"seed": 1}), seed=2)
    assert pairs(Kind.CONFIG, ConfigState(search=tpe), ConfigState(search=random)) == [
        ("search.sampler.name", "TPESampler", "RandomSampler"),
        ("search.seed", "1", "2"),
    ]
    assert pairs(Kind.CONFIG, ConfigState(search=tpe), ConfigState()) == []


ENVIRONMENT = EnvironmentState(
    Interpreter("CPython", "3.11.7", "main", "GCC", "/a/python", "/a", {"optimize": 0}, "random"),
    Machine("Linux", "6.1", "x86_64", "Debian", "glibc 2.36", "Xeon", ("avx", "sse"), 8, 8, 1),
    (Package("numpy", "2.0", record_digest=D1), Package("scipy", "1.13"), Package("gone", "1")),
    thread_pools=(ThreadPool("openblas (numpy)", "0.3", 8, "Haswell"),),
    determinism={"torch.cudnn.benchmark": False, "torch.num_threads": 8},
    variables={"OMP_NUM_THREADS": "8", "LANG": "C"},
    locale="C.UTF-8",
    timezone="UTC",
    job="slurm 1",
)


def test_environment_is_compared_by_what_changes_results():
    here = replace(
        ENVIRONMENT,
        interpreter=replace(
            ENVIRONMENT.interpreter, version="3.12.1", executable="/b", prefix="/b", hash_seed="0"
        ),
        machine=replace(
            ENVIRONMENT.machine, cpu_model="EPYC", cpu_flags=("avx2", "sse"), memory_bytes=2
        ),
        packages=(
            Package("numpy", "2.0", record_digest=D2),
            Package("scipy", "1.13", "editable", "file:///s"),
            Package("new", "1"),
        ),
        thread_pools=(
            ThreadPool("openblas (numpy)", "0.3", 4, "Zen"),
            ThreadPool("openmp (torch)", None, 4),
        ),
        determinism={"torch.cudnn.benchmark": True},
        variables={"OMP_NUM_THREADS": "4"},
        timezone="Europe/Berlin",
        job="slurm 2",
    )
    assert pairs(Kind.ENVIRONMENT, ENVIRONMENT, here) == [
        ("python", "3.11.7", "3.12.1"),
        ("hash seed", "random", "0"),
        ("cpu model", "Xeon", "EPYC"),
        ("cpu flags", "avx", "avx2"),
        ("package gone", "1", None),
        ("package new", None, "1"),
        ("files of package numpy", D1, D2),
        ("package scipy", "1.13 (index)", "1.13 (editable file:///s)"),
        ("threads of openblas (numpy)", "8", "4"),
        ("kernel of openblas (numpy)", "Haswell", "Zen"),
        ("torch.cudnn.benchmark", "false", "true"),
        ("$LANG", "C", None),
        ("$OMP_NUM_THREADS", "8", "4"),
        ("timezone", "UTC", "Europe/Berlin"),
    ]


def test_execution_is_compared_by_isolation_and_entry_only():
    recorded = LaunchState(
        "a", "ada", 1, "/py", ("x",), "/", EntryPoint("module", "train", name="objective"),
        {".": "/a"}, (), "fork",
    )  # fmt: skip
    elsewhere = replace(recorded, host="b", user=None, pid=2, argv=("y",), cwd="/b", gpus="3")
    assert pairs(Kind.EXECUTION, recorded, elsewhere) == []
    here = replace(
        elsewhere, isolation="fresh", entry=EntryPoint("file", path="train.py", name="objective")
    )
    assert pairs(Kind.EXECUTION, recorded, here) == [
        ("isolation", "fork", "fresh"),
        ("entry how", "module", "file"),
        ("entry module", "train", None),
        ("entry path", None, "train.py"),
    ]


def test_code_outside_the_root_is_compared_by_path_where_both_imported_it():
    """Labels follow the module search path, and lazy imports come later in one process."""
    recorded = CodeState(
        None,
        (
            file("lib.py", D1, base="outside-1"),
            file("same.py", D1, base="outside-1"),
            file("lazy.py", D1, base="outside-2"),
        ),
    )
    here = CodeState(
        None,
        (
            file("lib.py", D2, base="outside-2"),
            file("same.py", D1, base="outside-2"),
            file("other.py", D1, base="outside-1"),
        ),
    )
    assert pairs(Kind.CODE, recorded, here) == [("outside-1:lib.py", D1, D2)]
    relabelled = CodeState(None, tuple(file(e.path, e.digest, base="x") for e in recorded.files))
    assert relabelled.identity == recorded.identity
    moved = CodeState(None, tuple(file(e.path, e.digest) for e in recorded.files))
    assert moved.identity != recorded.identity
