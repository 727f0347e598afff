"""The code probe in real processes: what is recorded is what ran.

Each test writes a project, runs a script of it in a fresh interpreter, and looks at what the
script's own probe recorded.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import textwrap
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from trialbook.capture.code import CodeLimits, CodeProbe, code_root
from trialbook.errors import CaptureError
from trialbook.records.code import CodeState, FileEntry
from trialbook.records.coverage import Coverage, Level

PRELUDE = """
import json, os, sys
from pathlib import Path
from trialbook.capture.code import CodeLimits, CodeProbe
from trialbook.capture.imports import install_import_watch
import msgspec

install_import_watch()
OUT = Path(os.environ["OUT"])
ROOT = Path(os.environ["ROOT"])

def show(probe, name="seen"):
    o = probe.observe()
    (OUT / f"{name}.json").write_bytes(o.snapshot.document)
    for blob in o.blobs:
        (OUT / f"blob-{blob.digest}").write_bytes(blob.content)
    (OUT / f"{name}.launch.json").write_text(
        json.dumps({"bases": probe.bases, "sys_path": probe.sys_path()})
    )
    return o
"""


@dataclass
class Seen:
    """One observation that a script made."""

    out: Path
    name: str

    @property
    def _document(self) -> Any:
        from trialbook.records.coordinates import Snapshot

        return Snapshot.from_document((self.out / f"{self.name}.json").read_bytes())

    @property
    def state(self) -> CodeState:
        state: CodeState = self._document.state_as(CodeState)
        return state

    @property
    def coverage(self) -> Coverage:
        coverage: Coverage = self._document.coverage
        return coverage

    @property
    def launch(self) -> Any:
        return json.loads((self.out / f"{self.name}.launch.json").read_text())

    def entry(self, path: str, base: str = ".") -> FileEntry:
        (found,) = [e for e in self.state.files if (e.base, e.path) == (base, path)]
        return found

    def content(self, path: str, base: str = ".") -> bytes:
        return (self.out / f"blob-{self.entry(path, base).digest}").read_bytes()

    @property
    def loaded(self) -> set[str]:
        return {e.path if e.base == "." else f"{e.base}:{e.path}" for e in self.state.loaded}


@dataclass
class Project:
    """A directory with code, and a place for what its scripts record."""

    root: Path
    out: Path

    def write(self, path: str, text: str | bytes, *, at: Path | None = None) -> Path:
        file = (at or self.root) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        content = textwrap.dedent(text).encode() if isinstance(text, str) else text
        file.write_bytes(content)
        os.utime(file, (10**9, 10**9))  # long before any process here began
        return file

    def run(
        self,
        script: str = "main.py",
        *arguments: str,
        python: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *python, *([script] if script else []), *arguments]
        done = subprocess.run(
            command,
            cwd=cwd or self.root,
            env=os.environ | {"OUT": str(self.out), "ROOT": str(self.root)} | (env or {}),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done

    def seen(self, name: str = "seen") -> Seen:
        return Seen(self.out, name)

    def observe(self, body: str, **how: Any) -> Seen:
        """Run a main script with this body."""
        self.write("main.py", PRELUDE + textwrap.dedent(body))
        self.run(**how)
        return self.seen()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root, out = tmp_path / "project", tmp_path / "out"
    root.mkdir()
    out.mkdir()
    return Project(root, out)


def git(project: Project, *arguments: str) -> None:
    environment = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    subprocess.run(
        ["git", *identity, *arguments],
        cwd=project.root,
        env=environment,
        check=True,
        capture_output=True,
    )


# Which files are loaded


def test_imports_and_the_script_are_loaded_and_nothing_else(project: Project) -> None:
    project.write("model/__init__.py", "from . import layers\n")
    project.write("model/layers.py", "import helper\n")
    project.write("helper.py", "x = 1\n")
    project.write("unused.py", "y = 1\n")
    project.write("README", "words\n")
    seen = project.observe("import model\nshow(CodeProbe(ROOT))\n")
    assert seen.loaded == {"main.py", "model/__init__.py", "model/layers.py", "helper.py"}
    assert {e.path for e in seen.state.files} == seen.loaded | {"unused.py", "README"}
    assert seen.coverage == Coverage(Level.COMPLETE)
    assert seen.content("helper.py") == b"x = 1\n"
    assert seen.state.git is None


def test_reading_marks_and_writing_does_not(project: Project) -> None:
    project.write("conf/mlp.yaml", "width: 8\n")
    project.write("notes.txt", "n\n")
    project.write("log.txt", "l\n")
    project.write("state.json", "{}")
    seen = project.observe("""
        open("conf/mlp.yaml").read()
        os.close(os.open("notes.txt", os.O_RDONLY))
        open("log.txt", "a").write("more")
        json.loads(Path("state.json").read_text())
        Path("state.json").write_text("{1: 2}")
        show(CodeProbe(ROOT))
    """)
    assert seen.loaded == {"main.py", "conf/mlp.yaml", "notes.txt"}


def test_outputs_of_the_trial_change_nothing(project: Project) -> None:
    seen = project.observe("""
        probe = CodeProbe(ROOT)
        first = show(probe, "first")
        Path("results").mkdir()
        for n in range(3):
            Path(f"results/{n}.txt").write_text("r")
            Path(f"results/{n}.txt").read_text()
        os.system("echo made elsewhere > other.txt")
        Path("other.txt").read_text()
        assert not probe.changed()
        assert show(probe).snapshot.digest == first.snapshot.digest
    """)
    assert seen.loaded == {"main.py"}
    # A later process finds them in the tree, and the identity is still the same.
    again = project.observe("show(CodeProbe(ROOT))\n", env={"ROOT": str(project.root)})
    assert "results/1.txt" in {e.path for e in again.state.files}
    assert again.loaded == {"main.py"}


def test_declared_inputs_are_no_code(project: Project) -> None:
    project.write("data/train.csv", "1,2\n")
    project.write("data/deep/x.csv", "1,2\n")
    project.write("other.csv", "3\n")
    seen = project.observe("""
        for path in ("data/train.csv", "data/deep/x.csv", "other.csv"):
            open(path).read()
        show(CodeProbe(ROOT, inputs=[ROOT / "data"]))
    """)
    assert seen.loaded == {"main.py", "other.csv"}
    assert seen.content("data/train.csv") == b"1,2\n"


def test_globs_and_what_the_manifest_holds(project: Project) -> None:
    for path in ("data/a.csv", "data/b.csv", "data/notes.md", "ignored.log"):
        project.write(path, "x")
    git(project, "init", "-q")
    project.write(".gitignore", "*.log\n")
    seen = project.observe("""
        for path in ("data/a.csv", "data/b.csv", "data/notes.md", "ignored.log"):
            open(path).read()
        probe = CodeProbe(ROOT, inputs=[ROOT / "data" / "*.csv"])
        assert not probe.holds(str(ROOT / "data/notes.md"))  # nothing was looked at yet
        show(probe)
        assert probe.holds(str(ROOT / "data/notes.md"))
        assert not probe.holds(str(ROOT / "data/a.csv"))  # an input
        assert not probe.holds(str(ROOT / "ignored.log"))
        assert not probe.holds("/etc/hostname")
    """)
    assert seen.loaded == {"main.py", "data/notes.md"}


def test_reading_through_a_link_marks_both(project: Project) -> None:
    project.write("conf/a.yaml", "a: 1\n")
    project.write("conf/b.yaml", "b: 1\n")
    (project.root / "now").symlink_to("conf")
    seen = project.observe("""
        open("now/a.yaml").read()
        probe = CodeProbe(ROOT)
        first = show(probe)
        assert probe.holds(str(ROOT / "now" / "b.yaml"))
        assert show(probe).snapshot.digest == first.snapshot.digest
    """)
    assert seen.loaded == {"main.py", "now", "conf/a.yaml"}


def test_later_imports_and_reads_are_noticed(project: Project) -> None:
    project.write("late.py", "z = 1\n")
    project.write("late.yaml", "a: 1\n")
    project.observe("""
        probe = CodeProbe(ROOT)
        show(probe, "first")
        assert not probe.changed()
        import late
        assert probe.changed()
        show(probe, "second")
        assert not probe.changed()
        open("late.yaml").read()
        assert probe.changed()
        show(probe, "third")
        open("late.yaml").read()
        import colorsys, late  # installed, and already there
        assert not probe.changed()
    """)
    assert project.seen("first").loaded == {"main.py"}
    assert project.seen("second").loaded == {"main.py", "late.py"}
    assert project.seen("third").loaded == {"main.py", "late.py", "late.yaml"}


def test_ignored_file_that_is_imported_belongs_to_the_code(project: Project) -> None:
    git(project, "init", "-q")
    project.write(".gitignore", "generated.py\nsecret_notes.py\nbig/\n")
    project.write("generated.py", "g = 1\n")
    project.write("secret_notes.py", "s = 1\n")
    project.write("big/part.py", "p = 1\n")
    seen = project.observe("import generated, big.part\nshow(CodeProbe(ROOT))\n")
    assert seen.loaded == {"main.py", "generated.py", "big/part.py"}
    assert {e.path for e in seen.state.files} == seen.loaded | {".gitignore"}


# What ran, not what lies there now


def test_edit_between_import_and_capture_is_caught(project: Project) -> None:
    project.write("helper.py", "x = 'as imported'\n")
    seen = project.observe("""
        import helper
        Path("helper.py").write_text("x = 'edited since'\\n")
        show(CodeProbe(ROOT))
    """)
    assert seen.content("helper.py") == b"x = 'as imported'\n"
    assert seen.coverage.level is Level.COMPLETE
    assert any("helper.py" in reason for reason in seen.coverage.reasons)


@pytest.mark.parametrize("prefix", ["", "elsewhere"])
def test_edit_is_caught_when_bytecode_was_cached(
    prefix: str, project: Project, tmp_path: Path
) -> None:
    caches = tmp_path / prefix if prefix else project.root
    env = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(caches) if prefix else ""}
    project.write("helper.py", "x = 'as imported'\n")
    body = """
        import helper
        if len(sys.argv) > 1:
            Path("helper.py").write_text("x = 'edited since'\\n")
        show(CodeProbe(ROOT))
    """
    project.observe(body, env=env)
    assert list(caches.rglob("helper.*.pyc"))
    project.run("main.py", "edit", env=env)
    assert project.seen().content("helper.py") == b"x = 'as imported'\n"


def test_deleted_after_import_is_still_recorded(project: Project) -> None:
    project.write("helper.py", "x = 1\n")
    seen = project.observe("""
        import helper
        Path("helper.py").unlink()
        show(CodeProbe(ROOT))
    """)
    assert seen.content("helper.py") == b"x = 1\n"
    assert seen.entry("helper.py").loaded


def test_edit_after_the_first_look_leaves_the_record(project: Project) -> None:
    project.write("helper.py", "x = 1\n")
    project.observe("""
        import helper
        probe = CodeProbe(ROOT)
        first = show(probe, "first")
        Path("helper.py").write_text("x = 2\\n")
        assert not probe.changed()
        assert show(probe).snapshot.digest == first.snapshot.digest
    """)


def test_reload_after_an_edit_is_a_change(project: Project) -> None:
    project.write("helper.py", "x = 1\n")
    seen = project.observe("""
        import importlib, helper
        probe = CodeProbe(ROOT)
        show(probe, "first")
        Path("helper.py").write_text("x = 'two'\\n")
        importlib.reload(helper)
        assert probe.changed()
        show(probe)
    """)
    assert seen.content("helper.py") == b"x = 'two'\n"


def test_reading_the_source_again_is_no_reload(project: Project) -> None:
    """Tracebacks and inspection read sources; that is not running them."""
    project.write("helper.py", "def f():\n    return 1\n")
    seen = project.observe("""
        import helper, inspect, linecache
        Path("helper.py").write_text("def f():\\n    return 2\\n")
        inspect.getsource(helper.f)
        linecache.getlines(helper.__file__)
        helper.__loader__.get_source("helper")
        helper.__loader__.get_data(helper.__file__)
        show(CodeProbe(ROOT))
    """)
    assert seen.content("helper.py") == b"def f():\n    return 1\n"


def test_lazy_import_after_an_edit_records_what_was_imported(project: Project) -> None:
    project.write("lazy.py", "v = 'at first'\n")
    seen = project.observe("""
        probe = CodeProbe(ROOT)
        show(probe, "first")
        Path("lazy.py").write_text("v = 'edited'\\n")
        import lazy
        show(probe)
    """)
    assert project.seen("first").content("lazy.py") == b"v = 'at first'\n"
    assert seen.content("lazy.py") == b"v = 'edited'\n"


def test_configuration_read_again_after_an_edit(project: Project) -> None:
    project.write("conf.yaml", "a: 1\n")
    project.write(
        "tool.py",
        """
        import pathlib, sys
        pathlib.Path(sys.argv[1]).write_text("a: 22\\n")
    """,
    )
    seen = project.observe("""
        import subprocess
        probe = CodeProbe(ROOT)
        open("conf.yaml").read()
        show(probe, "first")
        subprocess.run([sys.executable, "tool.py", "conf.yaml"], check=True)
        assert not probe.changed()      # nothing has read the new text
        open("conf.yaml").read()
        assert probe.changed()
        show(probe)
    """)
    assert project.seen("first").content("conf.yaml") == b"a: 1\n"
    assert seen.content("conf.yaml") == b"a: 22\n"


def test_script_edited_while_it_starts_is_partial(project: Project) -> None:
    seen = project.observe("""
        show(CodeProbe(ROOT))
    """)
    assert seen.coverage.level is Level.COMPLETE
    # The script rewrites itself before the watch is there: what ran cannot be known any more.
    text = (project.root / "main.py").read_text()
    project.write("main.py", "import pathlib\npathlib.Path(__file__).write_text("
                  "pathlib.Path(__file__).read_text() + '# edited')\n"
                  "import os; os.utime(__file__)\n" + text)  # fmt: skip
    project.run()
    seen = project.seen()
    assert seen.coverage.level is Level.PARTIAL
    assert "main.py" in seen.coverage.reasons[0]
    assert seen.content("main.py").endswith(b"# edited")


def test_resources_of_packages_are_read_files(project: Project) -> None:
    project.write("pkg/__init__.py", "")
    project.write("pkg/defaults.yaml", "a: 1\n")
    project.write("pkg/other.yaml", "a: 1\n")
    seen = project.observe("""
        import pkgutil, importlib.resources
        pkgutil.get_data("pkg", "defaults.yaml")
        importlib.resources.files("pkg").joinpath("other.yaml").read_text()
        show(CodeProbe(ROOT))
    """)
    assert seen.loaded == {"main.py", "pkg/__init__.py", "pkg/defaults.yaml", "pkg/other.yaml"}


def test_odd_things_in_sys_modules_and_sys_path(project: Project) -> None:
    """Lazy modules must not be woken, and nothing there may stop the observation."""
    seen = project.observe("""
        class Lazy:
            def __getattr__(self, name):
                raise ImportError("woken")
        class Slots:
            __slots__ = ()
        sys.modules["lazy"], sys.modules["slots"], sys.modules["none"] = Lazy(), Slots(), None
        sys.path += [Path("not text"), b"bytes", "", "/nonexistent/dir", "/dev/null", "a\\0b"]
        probe = CodeProbe(ROOT)
        show(probe)
        assert not probe.changed()
    """)
    assert seen.loaded == {"main.py"}
    assert seen.coverage.level is Level.COMPLETE


def test_executed_files_are_loaded(project: Project) -> None:
    project.write("settings.py", "a = 1\n")
    seen = project.observe("""
        import runpy
        runpy.run_path("settings.py")
        show(CodeProbe(ROOT))
    """)
    assert seen.loaded == {"main.py", "settings.py"}


# Outside the root


def test_siblings_on_pythonpath(project: Project, tmp_path: Path) -> None:
    library, unused = tmp_path / "lib", tmp_path / "unused"
    unused.mkdir()
    project.write("shared.py", "s = 1\n", at=library)
    project.write("pack/__init__.py", "", at=library)
    project.write("pack/deep.py", "d = 1\n", at=library)
    project.write("not_imported.py", "n = 1\n", at=library)
    seen = project.observe(
        "import shared, pack.deep\nshow(CodeProbe(ROOT))\n",
        env={"PYTHONPATH": f"{unused}:{library}"},
    )
    assert seen.loaded == {
        "main.py", "outside-2:shared.py", "outside-2:pack/__init__.py", "outside-2:pack/deep.py",
    }  # fmt: skip
    assert seen.launch["bases"] == {
        ".": str(project.root), "outside-1": str(unused), "outside-2": str(library),
    }  # fmt: skip
    assert seen.launch["sys_path"][:3] == [".:", "outside-1:", "outside-2:"]
    assert seen.content("pack/deep.py", "outside-2") == b"d = 1\n"
    assert {e.path for e in seen.state.files if e.base != "."} == {
        "shared.py", "pack/__init__.py", "pack/deep.py",
    }  # fmt: skip


def test_sibling_that_contains_the_root(project: Project, tmp_path: Path) -> None:
    project.write("above.py", "a = 1\n", at=tmp_path)
    project.write("inner.py", "i = 1\n")
    seen = project.observe(
        "import above, inner\nshow(CodeProbe(ROOT))\n", env={"PYTHONPATH": str(tmp_path)}
    )
    assert seen.loaded == {"main.py", "inner.py", "outside-1:above.py"}


def make_venv(tmp_path: Path) -> tuple[Path, Path]:
    """A virtual environment that also sees this one's packages; its python and site directory."""
    venv = tmp_path / "venv"
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True, capture_output=True
    )
    (site,) = venv.glob("lib/python*/site-packages")
    ours = [path for path in sys.path if path.endswith("site-packages")]
    source = str(Path(sys.modules["trialbook"].__file__ or "").parents[1])
    (site / "borrowed.pth").write_text("\n".join([*ours, source]))
    return venv / "bin" / "python", site


@pytest.mark.slow
def test_pth_siblings_editable_finders_and_strays(project: Project, tmp_path: Path) -> None:
    python, site = make_venv(tmp_path)
    sibling, editable = tmp_path / "sibling", tmp_path / "checkout" / "src"
    project.write("by_pth.py", "p = 1\n", at=sibling)
    (site / "sibling.pth").write_text(f"{sibling}\n")
    # What setuptools writes for an editable install: a finder that maps names to a checkout.
    project.write("edit/__init__.py", "", at=editable)
    project.write("edit/core.py", "c = 1\n", at=editable)
    project.write("finder.py", f"""
        import importlib.util, sys
        class Finder:
            @classmethod
            def find_spec(cls, name, path=None, target=None):
                if name == "edit":
                    return importlib.util.spec_from_file_location(
                        name, "{editable}/edit/__init__.py",
                        submodule_search_locations=["{editable}/edit"])
        sys.meta_path.append(Finder)
    """, at=site)  # fmt: skip
    (site / "finder.pth").write_text("import finder\n")
    info = site / "editable-1.0.dist-info"
    info.mkdir()
    (info / "RECORD").write_text("finder.py,,\nfinder.pth,,\neditable-1.0.dist-info/RECORD,,\n")
    project.write("stray.py", "s = 1\n", at=site)  # copied there by hand
    project.write("main.py", PRELUDE + "import by_pth, edit.core, stray, finder, numpy\n"
                  "show(CodeProbe(ROOT))\n")  # fmt: skip
    done = subprocess.run(
        [str(python), "main.py"], cwd=project.root, capture_output=True, text=True,
        env=os.environ | {"OUT": str(project.out), "ROOT": str(project.root)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen = project.seen()
    bases = {place: label for label, place in seen.launch["bases"].items()}
    assert seen.loaded == {
        "main.py",
        f"{bases[str(sibling)]}:by_pth.py",
        f"{bases[str(editable)]}:edit/__init__.py",
        f"{bases[str(editable)]}:edit/core.py",
        f"{bases[str(site)]}:stray.py",
    }
    assert f"{bases[str(editable)]}:" in seen.launch["sys_path"]


def test_archives_namespaces_and_sourceless_modules(project: Project, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "lib.zip", "w") as archive:
        archive.writestr("zipped/__init__.py", "z = 1\n")
    project.write("space/part.py", "n = 1\n")
    project.write("gone.py", "g = 1\n")
    import py_compile

    py_compile.compile(str(project.root / "gone.py"), cfile=str(project.root / "gone.pyc"))
    (project.root / "gone.py").unlink()
    seen = project.observe(
        "import zipped, space.part, gone\nshow(CodeProbe(ROOT))\n",
        env={"PYTHONPATH": str(tmp_path / "lib.zip")},
    )
    assert seen.loaded == {"main.py", "space/part.py", "gone.pyc", "outside-1:lib.zip"}
    assert seen.launch["sys_path"][1] == "outside-1:lib.zip"
    assert seen.coverage.level is Level.COMPLETE


def test_extension_module_of_the_tree(project: Project) -> None:
    import _bisect

    suffix = ".so"
    origin = getattr(_bisect, "__file__", None)
    if origin is None:
        pytest.skip("the interpreter has no extension modules as files")
    project.write(f"native{suffix}", Path(origin).read_bytes())
    seen = project.observe("""
        import importlib.machinery, importlib.util
        spec = importlib.util.spec_from_file_location("_bisect", str(ROOT / "native.so"))
        module = importlib.util.module_from_spec(spec)
        sys.modules["_bisect"] = module
        spec.loader.exec_module(module)
        show(CodeProbe(ROOT))
    """)
    assert seen.loaded == {"main.py", "native.so"}


# Symbolic links


def test_links_are_never_followed_out_and_imports_through_them_are_kept(
    project: Project, tmp_path: Path
) -> None:
    outside = tmp_path / "elsewhere"
    project.write("pkg/__init__.py", "", at=outside)
    project.write("pkg/mod.py", "m = 1\n", at=outside)
    project.write("pkg/private.txt", "not imported", at=outside)
    project.write("real.py", "r = 1\n")
    (project.root / "pkg").symlink_to(outside / "pkg")
    (project.root / "alias.py").symlink_to("real.py")
    (project.root / "other").symlink_to(outside)
    seen = project.observe("import pkg.mod, alias\nshow(CodeProbe(ROOT))\n")
    files = {e.path: e for e in seen.state.files}
    assert set(files) == {
        "main.py", "real.py", "alias.py", "other", "pkg/__init__.py", "pkg/mod.py",
    }  # fmt: skip
    assert files["other"].mode == files["alias.py"].mode == "120000"
    assert files["pkg/mod.py"].mode == "100644"
    assert seen.loaded == {"main.py", "real.py", "alias.py", "pkg/__init__.py", "pkg/mod.py"}


def test_root_reached_through_a_link(project: Project, tmp_path: Path) -> None:
    project.write("helper.py", "x = 1\n")
    (tmp_path / "alias").symlink_to(project.root)
    seen = project.observe(
        "import helper\nshow(CodeProbe(ROOT))\n", cwd=tmp_path / "alias", script="main.py"
    )
    assert seen.loaded == {"main.py", "helper.py"}
    seen = project.observe(
        "import helper\nshow(CodeProbe(ROOT))\n", env={"ROOT": str(tmp_path / "alias")}
    )
    assert seen.loaded == {"main.py", "helper.py"}


# Ways to start


def test_run_as_a_module(project: Project) -> None:
    project.write("app/__init__.py", "")
    project.write("app/__main__.py", PRELUDE + "show(CodeProbe(ROOT))\n")
    project.run("", python=("-m", "app"))
    assert project.seen().loaded == {"app/__init__.py", "app/__main__.py"}
    assert project.seen().coverage.level is Level.COMPLETE


@pytest.mark.parametrize(
    ("arguments", "reason"), [(("-c", "{}"), "python -c"), (("-",), "standard input")]
)
def test_code_without_a_file_is_partial(
    project: Project, arguments: tuple[str, ...], reason: str
) -> None:
    project.write("helper.py", "x = 1\n")
    text = PRELUDE + "import helper\nshow(CodeProbe(ROOT))\n"
    done = subprocess.run(
        [sys.executable, *(argument.format(text) if argument == "{}" else argument
                           for argument in arguments)],
        cwd=project.root, input=text, text=True, capture_output=True,
        env=os.environ | {"OUT": str(project.out), "ROOT": str(project.root)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert project.seen().loaded == {"helper.py"}
    assert project.seen().coverage.level is Level.PARTIAL
    assert reason in project.seen().coverage.reasons[0]


def test_forked_and_spawned_children(project: Project) -> None:
    project.write("helper.py", "x = 1\n")
    project.write("late.py", "y = 1\n")
    project.write("main.py", PRELUDE + textwrap.dedent("""
        import multiprocessing
        import helper
        def child(name):
            import late
            show(CodeProbe(ROOT), name)
        if __name__ == "__main__":
            for method in ("fork", "spawn"):
                process = multiprocessing.get_context(method).Process(target=child, args=(method,))
                process.start()
                process.join()
                assert process.exitcode == 0
    """))  # fmt: skip
    project.run()
    for method in ("fork", "spawn"):
        assert project.seen(method).loaded == {"main.py", "helper.py", "late.py"}, method


# Limits, credentials, databases


def test_large_files_are_recorded_by_digest(project: Project) -> None:
    big = os.urandom(3000)
    project.write("big.bin", big)
    project.write("also_big.py", "x = 1\n" + "#" * 3000)
    seen = project.observe(
        "import also_big\nshow(CodeProbe(ROOT, limits=CodeLimits(file_bytes=2000)))"
    )
    entry = seen.entry("big.bin")
    assert (entry.embedded, entry.digest) == (False, hashlib.sha256(big).hexdigest())
    assert entry.size_bytes == 3000
    assert not seen.entry("also_big.py").embedded
    assert seen.coverage.level is Level.PARTIAL
    assert "big.bin (larger than" in seen.coverage.reasons[0]


def test_loaded_files_come_first_when_the_snapshot_is_full(project: Project) -> None:
    for n in range(20):
        project.write(f"a{n}.txt", bytes([n]) * 1000)
    project.write("zz.py", "x = 1\n#" + "z" * 3000)
    seen = project.observe(
        "import zz\nshow(CodeProbe(ROOT, limits=CodeLimits(snapshot_bytes=10_000)))"
    )
    assert seen.entry("zz.py").embedded
    assert seen.entry("main.py").embedded
    embedded = [e for e in seen.state.files if e.embedded]
    assert 3 <= len(embedded) < 12
    assert sum(e.size_bytes for e in embedded) <= 10_000
    assert seen.coverage.level is Level.PARTIAL


def test_credentials_are_not_embedded(project: Project) -> None:
    canary = "canary" + "0f9e8d7c6b5a4" * 3
    project.write(".env", f"PASSWORD={canary}\n")
    project.write("id_rsa", "-----BEGIN OPENSSH PRIVATE " + f"KEY-----\n{canary}\n")
    project.write("settings.py", f"API_KEY = '{canary}'\n")
    seen = project.observe("import settings\nshow(CodeProbe(ROOT))")
    for path in (".env", "id_rsa", "settings.py"):
        assert not seen.entry(path).embedded, path
        assert seen.entry(path).reason
    assert seen.entry("settings.py").loaded
    assert seen.coverage.level is Level.PARTIAL
    for file in project.out.iterdir():
        assert canary.encode() not in file.read_bytes()


def test_file_limit_and_wide_roots_record_only_what_was_loaded(
    project: Project, tmp_path: Path
) -> None:
    project.write("helper.py", "x = 1\n")
    for n in range(30):
        project.write(f"f{n}", "x")
    body = "import helper\nshow(CodeProbe(ROOT, limits=CodeLimits(files=20)))"
    for prepare in (lambda: None, lambda: git(project, "init", "-q")):
        prepare()
        seen = project.observe(body)
        assert {e.path for e in seen.state.files} == {"main.py", "helper.py"}
        assert seen.coverage.level is Level.PARTIAL
        assert "more than 20 files" in seen.coverage.reasons[0]
    for root, name in (("/", "/"), (str(project.root), str(project.root))):
        seen = project.observe(
            "import helper\nshow(CodeProbe(ROOT))",
            env={"ROOT": root, "HOME": str(project.root), "GIT_CEILING_DIRECTORIES": str(tmp_path)},
        ) if root == "/" else None  # fmt: skip
        if seen is not None:
            assert len(seen.state.files) == len(seen.state.loaded) == 2
            assert f"the root is {name}" in seen.coverage.reasons[0]


def test_without_git_caches_and_environments_stay_out(project: Project) -> None:
    for path in (
        ".venv/x.py", "myenv/pyvenv.cfg", "myenv/lib/y.py", "node_modules/m/i.js", ".git/config",
        "pkg/__pycache__/z.pyc", ".mypy_cache/c", ".trialbook/book.db", "sub/.trialbook/book.db",
        ".ipynb_checkpoints/n.ipynb",
    ):  # fmt: skip
        project.write(path, "x")
    (project.root / ".git" / "config").unlink()
    (project.root / ".git").rmdir()
    project.write(".hidden.cfg", "kept")
    project.write("pkg/kept.py", "kept")
    os.mkfifo(project.root / "pipe")
    seen = project.observe("show(CodeProbe(ROOT))")
    assert {e.path for e in seen.state.files} == {"main.py", ".hidden.cfg", "pkg/kept.py"}


OPENED = """
    opened = []
    def note(event, args):
        if event == "open" and isinstance(args[0], (str, bytes)):
            opened.append(os.path.realpath(os.fsdecode(args[0])))
    sys.addaudithook(note)
"""


@pytest.mark.parametrize("tracked", [False, True])
def test_the_book_is_never_opened(project: Project, tracked: bool) -> None:
    """Closing a second handle on it would drop SQLite's locks."""
    names = ("book.db", "book.db-wal", "book.db-shm", "book.db-journal", "books/b.db", "books/c/x")
    for name in names:
        project.write(name, "book")
    project.write(".trialbook/book.db", "book")
    if tracked:
        git(project, "init", "-q")
        git(project, "add", "-A", "--force")
    project.observe(OPENED + """
    open("book.db").read()  # as a library might: still no code
    del opened[:]
    show(CodeProbe(ROOT, exclude=[ROOT / "book.db", ROOT / "books"]))
    (OUT / "opened").write_text("\\n".join(opened))
    """)  # fmt: skip
    assert {e.path for e in project.seen().state.files} == {"main.py"}
    opened = (project.out / "opened").read_text().splitlines()
    below = [path.removeprefix(str(project.root)) for path in opened]
    assert "/main.py" in below
    assert not [path for path in below if "/book" in path or ".trialbook" in path]


def test_databases_are_read_without_this_process_opening_them(project: Project) -> None:
    """Another SQLite file of the tree may be in use by this very process."""
    project.write("main.py", "")
    seen = project.observe(OPENED + """
    import sqlite3
    connection = sqlite3.connect("mine.db", isolation_level=None)
    connection.execute("create table t (x)")
    connection.execute("begin immediate")
    connection.execute("insert into t values (1)")
    show(CodeProbe(ROOT))
    other = sqlite3.connect("mine.db", timeout=0)
    try:
        other.execute("begin immediate")
        raise SystemExit("the lock is gone")
    except sqlite3.OperationalError:
        pass
    import subprocess
    code = "import sqlite3; sqlite3.connect('mine.db', timeout=0).execute('begin immediate')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 1
    (OUT / "opened").write_text("\\n".join(opened))
    """)  # fmt: skip
    assert "mine.db" in {e.path for e in seen.state.files}
    assert "mine.db" not in (project.out / "opened").read_text()


# Trouble


def test_unreadable_file_is_a_gap(project: Project) -> None:
    project.write("locked.py", "x").chmod(0)
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    seen = project.observe("show(CodeProbe(ROOT))")
    assert seen.coverage.level is Level.PARTIAL
    assert "locked.py" in seen.coverage.reasons[0]


def test_no_root_is_a_capture_error(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="root of the code"):
        CodeProbe(tmp_path / "absent").observe()


def test_without_git_installed(project: Project, tmp_path: Path) -> None:
    git(project, "init", "-q")
    project.write("helper.py", "x = 1\n")
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "cat").symlink_to("/bin/cat")
    seen = project.observe("import helper\nshow(CodeProbe(ROOT))", env={"PATH": str(tools)})
    assert seen.loaded == {"main.py", "helper.py"}
    assert seen.state.git is None
    assert "git is not installed" in seen.coverage.reasons[0]


def test_damaged_repository(project: Project) -> None:
    git(project, "init", "-q")
    (project.root / ".git" / "index").write_bytes(b"junk")
    seen = project.observe("show(CodeProbe(ROOT))")
    assert {e.path for e in seen.state.files} == {"main.py"}
    assert seen.coverage.level is Level.PARTIAL
    assert "git" in seen.coverage.reasons[0]


# code_root


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ((), "a/b/c"),
        (("a/.git/HEAD",), "a"),
        (("a/b/.git",), "a/b"),
        (("a/pyproject.toml",), "a"),
        (("a/b/setup.py", "a/pyproject.toml"), "a/b"),
        (("a/.git/HEAD", "a/b/pyproject.toml"), "a"),
        ((".git/HEAD", "pyproject.toml"), "a/b/c"),
    ],
)
def test_code_root(
    marks: tuple[str, ...], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / "a" / "b" / "c").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    for mark in marks:
        (home / mark).parent.mkdir(parents=True, exist_ok=True)
        (home / mark).write_text("")
    (home / "a" / "b" / "c" / "main.py").write_text("")
    assert code_root(home / "a" / "b" / "c") == home / expected
    assert code_root(home / "a" / "b" / "c" / "main.py") == home / expected


def test_probe_face(tmp_path: Path) -> None:
    from trialbook.capture.probe import Probe

    probe: Probe = CodeProbe(tmp_path, limits=CodeLimits())
    assert probe.kind == "code"
    assert probe.changed()
    assert probe.observe().snapshot.kind == "code"


def test_identity_ignores_what_was_not_loaded(project: Project) -> None:
    project.write("helper.py", "x = 1\n")
    body = "import helper\nshow(CodeProbe(ROOT))\n"
    first = project.observe(body).state.identity
    project.write("README", "new\n")
    assert project.observe(body).state.identity == first
    project.write("helper.py", "x = 2\n")
    assert project.observe(body).state.identity != first
