import json
import locale
import os
import subprocess
import sys
import textwrap
import time
import venv
from pathlib import Path

import pytest

from trialbook.capture.environment import EnvironmentProbe
from trialbook.capture.machine import interpreter, machine
from trialbook.capture.numerics import determinism_flags, result_variables, timezone
from trialbook.capture.packages import index_url, installed_packages, lock_files, record_digest
from trialbook.records.canonical import digest_of_bytes
from trialbook.records.coverage import Level
from trialbook.records.environment import EnvironmentState


def run(script: str, *, environ: dict | None = None, python: str = sys.executable) -> dict:
    done = subprocess.run(
        [python, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environ or {})},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_environment_of_this_process(tmp_path):
    (tmp_path / "uv.lock").write_text("locked")
    snapshot = EnvironmentProbe(tmp_path).observe().snapshot
    state = snapshot.state_as(EnvironmentState)
    assert state.interpreter.version == ".".join(map(str, sys.version_info[:3]))
    assert state.interpreter.executable == sys.executable
    assert state.machine.system == os.uname().sysname
    assert state.machine.memory_bytes > 2**28
    assert state.machine.cpu_count == os.cpu_count()
    assert state.lock_files == {"uv.lock": digest_of_bytes(b"locked")}
    assert state.timezone
    names = [package.name for package in state.packages]
    assert names == sorted(names)
    own = next(package for package in state.packages if package.name == "trialbook")
    assert own.version
    assert snapshot.coverage.level in (Level.COMPLETE, Level.PARTIAL)
    assert (snapshot.coverage.level is Level.COMPLETE) == (not snapshot.coverage.reasons)


def test_two_observations_of_one_process_are_one_snapshot():
    probe = EnvironmentProbe()
    first = probe.observe().snapshot
    assert not probe.changed()
    assert probe.observe().snapshot.digest == first.digest


def test_nothing_is_imported_and_it_is_quick():
    told = run(
        """
        import json, sys, time
        from trialbook.capture.environment import EnvironmentProbe
        before = set(sys.modules)
        probe = EnvironmentProbe()
        probe.observe()
        probe = EnvironmentProbe()
        began = time.process_time()
        probe.observe()
        took = time.process_time() - began
        probe.changed()
        checks = []
        for _ in range(20):
            began = time.perf_counter()
            assert not probe.changed()
            checks.append(time.perf_counter() - began)
        heavy = {"numpy", "torch", "optuna", "scipy", "sklearn", "pandas", "psutil"}
        print(json.dumps([took, min(checks), sorted(heavy & set(sys.modules) - before)]))
        """
    )
    took, check, imported = told
    assert took < 0.15
    assert check < 1e-3
    assert imported == []


def test_libraries_loaded_and_variables_set_later_are_changes():
    told = run(
        """
        import json, os
        from trialbook.capture.environment import EnvironmentProbe
        probe = EnvironmentProbe()
        said = [probe.changed()]
        probe.observe()
        said.append(probe.changed())
        import numpy
        numpy.dot(numpy.ones((9, 9)), numpy.ones((9, 9)))
        said.append(probe.changed())
        pools = probe.observe().snapshot.state["thread_pools"]
        said.append(probe.changed())
        import threadpoolctl
        with threadpoolctl.threadpool_limits(1):
            said.append(probe.changed())
        said.append(probe.changed())
        os.environ["OMP_NUM_THREADS"] = "1"
        said.append(probe.changed())
        print(json.dumps([said, pools]))
        """,
        environ={"OPENBLAS_NUM_THREADS": "2"},
    )
    said, pools = told
    (pool,) = [pool for pool in pools if "numpy" in pool["library"]]
    assert pool["threads"] >= 1
    assert pool["kernel"]
    assert said[:4] == [True, False, True, False]
    assert said[4] == (pool["threads"] != 1)
    assert said[5:] == [False, True]


def test_variables_are_an_allow_list_without_secrets():
    environ = {
        "OMP_NUM_THREADS": "4",
        "PYTHONHASHSEED": "0",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "LC_NUMERIC": "C",
        "TF_DETERMINISTIC_OPS": "1",
        "MKL_CBWR": "COMPATIBLE",
        "JAX_API_TOKEN": "canary",
        "XLA_FLAGS": "--token=" + "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a",
        "TORCH_HOME": "/home/ada/.torch",
        "CUDA_VISIBLE_DEVICES": "0",
        "PYTHONPATH": "/home/ada",
        "AWS_SECRET_ACCESS_KEY": "canary",
        "HOME": "/home/ada",
        "MY_OWN": "x",
    }
    assert result_variables(environ) == {
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "LC_NUMERIC": "C",
        "MKL_CBWR": "COMPATIBLE",
        "OMP_NUM_THREADS": "4",
        "PYTHONHASHSEED": "0",
        "TF_DETERMINISTIC_OPS": "1",
        "XLA_FLAGS": "--token=[redacted]",
    }


@pytest.mark.parametrize(
    ("seed", "expected"), [("0", "0"), ("123", "123"), ("random", "random"), (None, "random")]
)
def test_hash_seed(seed, expected):
    script = (
        "import json; from trialbook.capture.machine import interpreter\n"
        "print(json.dumps(interpreter().hash_seed))"
    )
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
    if seed is not None:
        environ["PYTHONHASHSEED"] = seed
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environ, check=True
    )
    assert json.loads(done.stdout) == expected


def test_the_machine():
    state, gaps = machine()
    if sys.platform == "linux":
        fields = Path("/proc/cpuinfo").read_text()
        assert state.cpu_model is None or state.cpu_model in fields or "part" in state.cpu_model
        assert state.cpu_flags == tuple(sorted(state.cpu_flags))
        assert state.cpu_affinity == len(os.sched_getaffinity(0))
    assert (state.cpu_model is None) == any("CPU" in gap for gap in gaps)
    assert interpreter().implementation == sys.implementation.name.replace("cp", "CP")


def test_the_time_zone_and_the_locale():
    assert timezone({"TZ": ":Europe/Berlin"}) == "Europe/Berlin"
    assert timezone({}) == timezone({"TZ": ""})
    state = EnvironmentProbe().observe().snapshot.state_as(EnvironmentState)
    assert state.locale == locale.setlocale(locale.LC_ALL, None)


def test_no_flags_without_a_library():
    told = run(
        "import json; from trialbook.capture.numerics import determinism_flags\n"
        "print(json.dumps(determinism_flags()))"
    )
    assert told == {}
    assert isinstance(determinism_flags(), dict)


# Packages


def distribution(site: Path, name: str, version: str, files: dict[str, str]) -> Path:
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: not-this\n"
    )
    for file, content in files.items():
        (folder / file).write_text(content)
    return folder


RECORD = "{0}/__init__.py,sha256=abc,12\n{0}-1.dist-info/RECORD,,\n"


@pytest.fixture
def site(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def found(name: str):
    packages, gaps = installed_packages()
    return next((package for package in packages if package.name == name), None), gaps


@pytest.mark.parametrize(
    ("files", "origin", "url"),
    [
        ({"RECORD": RECORD.format("p")}, "index", None),
        (
            {"RECORD": RECORD.format("p"), "direct_url.json": json.dumps(
                {"url": "file:///src/p", "dir_info": {"editable": True}})},
            "editable",
            "file:///src/p",
        ),
        (
            {"direct_url.json": json.dumps({"url": "file:///src/p", "dir_info": {}})},
            "local",
            "file:///src/p",
        ),
        (
            {"direct_url.json": json.dumps({
                "url": "https://user:canary@host/p.git", "subdirectory": "py",
                "vcs_info": {"vcs": "git", "commit_id": "c" * 40}})},
            "vcs",
            f"git+https://host/p.git@{'c' * 40}#subdirectory=py",
        ),
        (
            {"direct_url.json": json.dumps({
                "url": "https://host/p-1.whl", "archive_info": {"hashes": {"sha256": "d" * 64}}})},
            "archive",
            f"https://host/p-1.whl#sha256={'d' * 64}",
        ),
        ({"INSTALLER": "conda\n", "RECORD": RECORD.format("p")}, "conda", None),
    ],
)  # fmt: skip
def test_origins(site, files, origin, url):
    distribution(site, "Some.P_kg", "1", files)
    package, _ = found("some-p-kg")
    assert (package.version, package.origin, package.url) == ("1", origin, url)
    assert (package.record_digest is None) == ("RECORD" not in files)


def test_an_egg_info(site):
    (site / "old.egg-info").mkdir()
    (site / "old.egg-info/PKG-INFO").write_text("Name: old\nVersion: 3\n")
    package, _ = found("old")
    assert (package.version, package.origin) == ("3", "local")


def test_the_first_on_the_path_counts(site, tmp_path, monkeypatch):
    distribution(site, "twice", "1", {})
    second = tmp_path / "second"
    second.mkdir()
    distribution(second, "twice", "2", {})
    monkeypatch.setattr(sys, "path", [*sys.path, str(second)])
    package, _ = found("twice")
    assert package.version == "1"


def test_broken_metadata_is_a_gap_and_stops_nothing(site):
    distribution(site, "broken", "1", {"direct_url.json": "{"})
    (site / "empty-1.dist-info").mkdir()
    package, gaps = found("broken")
    assert package is None
    assert len(gaps) == 1
    assert found("trialbook")[0] is not None


def test_a_record_has_one_digest_in_every_environment():
    wheel = "p/__init__.py,sha256=abc,12\np/b.py,sha256=def,3\np-1.dist-info/METADATA,sha256=x,1\n"
    pip = (
        "../../../bin/p,sha256=shebang1,220\n" + wheel + "p-1.dist-info/RECORD,,\n"
        "p-1.dist-info/INSTALLER,sha256=pip,4\np/__pycache__/b.cpython-311.pyc,,\n"
        "p-1.dist-info/REQUESTED,sha256=0,0\n"
    )
    uv = "\n".join(reversed(wheel.splitlines())) + "\np-1.dist-info/INSTALLER,sha256=uv,2\n"
    assert record_digest(pip) == record_digest(uv) == record_digest(wheel)
    assert record_digest(wheel.replace("def", "other")) != record_digest(wheel)


def test_an_installation_is_a_change(site, monkeypatch):
    renamed = site.parent / "site-packages"
    site.rename(renamed)
    script = f"""
    import json, os, sys, time
    sys.path.insert(0, {str(renamed)!r})
    from trialbook.capture.environment import EnvironmentProbe
    probe = EnvironmentProbe()
    probe.observe()
    said = [probe.changed()]
    os.mkdir({str(renamed)!r} + "/new-1.dist-info")
    open({str(renamed)!r} + "/new-1.dist-info/METADATA", "w").write("Name: new\\nVersion: 1\\n")
    said.append(probe.changed())
    names = [p["name"] for p in probe.observe().snapshot.state["packages"]]
    print(json.dumps([*said, "new" in names]))
    """
    assert run(script) == [False, True, True]


@pytest.mark.slow
def test_one_wheel_has_one_record_digest_whoever_installed_it(tmp_path):
    """A real installation beside the one in which the tests run."""
    here, _ = found("iniconfig")
    if here is None or here.origin != "index":
        pytest.skip("iniconfig is not installed from an index here")
    venv.create(tmp_path / "v")
    pip = [sys.executable, "-m", "pip", "--python", str(tmp_path / "v/bin/python")]
    done = subprocess.run(
        [*pip, "install", "-q", "--no-deps", f"iniconfig=={here.version}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        pytest.skip(f"no package index: {done.stderr[-200:]}")
    (record,) = (tmp_path / "v/lib").rglob("iniconfig-*.dist-info/RECORD")
    assert record_digest(record.read_text()) == here.record_digest


# The index and lock files


def test_the_index_is_recorded_without_its_password(tmp_path):
    assert index_url({"PIP_CONFIG_FILE": os.devnull}, tmp_path) is None
    environ = {
        "PIP_INDEX_URL": "https://u:canary@mirror/simple",
        "PIP_EXTRA_INDEX_URL": "https://extra/simple https://u:canary@more/simple",
        "PIP_CONFIG_FILE": os.devnull,
    }
    assert index_url(environ, tmp_path) == (
        "https://mirror/simple https://extra/simple https://more/simple"
    )


def test_the_index_of_pips_own_configuration(tmp_path):
    conf = tmp_path / "pip.conf"
    conf.write_text(
        "[global]\nindex-url = https://a/simple\n[install]\nextra-index-url =\n  https://b/simple\n"
    )
    environ = {"PIP_CONFIG_FILE": str(conf)}
    assert index_url(environ, tmp_path) == "https://a/simple https://b/simple"
    assert index_url({**environ, "UV_INDEX_URL": "https://c"}, tmp_path).startswith("https://c ")


def test_lock_files(tmp_path):
    for name in ("requirements.txt", "requirements-dev.txt", "poetry.lock", "other.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "uv.lock").mkdir()
    digests, gaps = lock_files(tmp_path)
    assert digests == {
        name: digest_of_bytes(name.encode())
        for name in ("poetry.lock", "requirements-dev.txt", "requirements.txt")
    }
    assert gaps == ()
    assert lock_files(tmp_path / "missing") == ({}, ())


def test_observing_again_is_quicker_than_a_trial_would_notice():
    probe = EnvironmentProbe()
    probe.observe()
    probe.changed()
    times = []
    for _ in range(20):
        began = time.perf_counter()
        probe.changed()
        times.append(time.perf_counter() - began)
    assert min(times) < 1e-3
