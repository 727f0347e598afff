"""The code probe in real processes: which files count as loaded, and what of them is recorded."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from trialbook.records.coverage import Coverage, Level


def test_imports_and_the_script_are_loaded_and_nothing_else(project) -> None:
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


def test_reading_marks_and_writing_does_not(project) -> None:
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


def test_outputs_of_the_trial_change_nothing(project) -> None:
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


def test_declared_inputs_are_no_code(project) -> None:
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


def test_globs_and_what_the_manifest_holds(project) -> None:
    for path in ("data/a.csv", "data/b.csv", "data/notes.md", "ignored.log"):
        project.write(path, "x")
    project.git("init", "-q")
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


def test_reading_through_a_link_marks_both(project) -> None:
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


def test_later_imports_and_reads_are_noticed(project) -> None:
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


def test_ignored_file_that_is_imported_belongs_to_the_code(project) -> None:
    project.git("init", "-q")
    project.write(".gitignore", "generated.py\nsecret_notes.py\nbig/\n")
    project.write("generated.py", "g = 1\n")
    project.write("secret_notes.py", "s = 1\n")
    project.write("big/part.py", "p = 1\n")
    seen = project.observe("import generated, big.part\nshow(CodeProbe(ROOT))\n")
    assert seen.loaded == {"main.py", "generated.py", "big/part.py"}
    assert {e.path for e in seen.state.files} == seen.loaded | {".gitignore"}


def test_edit_between_import_and_capture_is_caught(project) -> None:
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
def test_edit_is_caught_when_bytecode_was_cached(prefix: str, project, tmp_path: Path) -> None:
    caches = tmp_path / prefix if prefix else project.root
    env = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(caches) if prefix else ""}
    project.write("helper.py", "x = 'as imported'\n")
    body = """
        edits = []
        def edit(event, args):
            if event == "marshal.loads" and len(sys.argv) > 1 and not edits:
                edits.append(Path("helper.py").write_text("x = 'edited'\\n"))
        sys.addaudithook(edit)  # the source changes while its bytecode is being loaded
        import helper
        assert helper.x == "as imported"
        assert len(edits) == len(sys.argv) - 1
        show(CodeProbe(ROOT))
    """
    project.observe(body, env=env)
    assert list(caches.rglob("helper.*.pyc"))
    project.run("main.py", "edit", env=env)
    assert project.seen().content("helper.py") == b"x = 'as imported'\n"


def test_edit_between_reading_and_running_is_caught(project) -> None:
    """What counts are the bytes that were compiled, not those that lie there when they run."""
    project.write("helper.py", "x = 'as compiled'\n")
    seen = project.observe("""
        def edit(event, args):
            if event == "compile" and str(args[1]).endswith("helper.py"):
                Path("helper.py").write_text("x = 'edited'\\n")
        sys.addaudithook(edit)
        import helper
        assert helper.x == "as compiled", helper.x
        show(CodeProbe(ROOT))
    """)
    assert seen.content("helper.py") == b"x = 'as compiled'\n"


def test_deleted_after_import_is_still_recorded(project) -> None:
    project.write("helper.py", "x = 1\n")
    seen = project.observe("""
        import helper
        Path("helper.py").unlink()
        show(CodeProbe(ROOT))
    """)
    assert seen.content("helper.py") == b"x = 1\n"
    assert seen.entry("helper.py").loaded


def test_edit_after_the_first_look_leaves_the_record(project) -> None:
    project.write("helper.py", "x = 1\n")
    project.observe("""
        import helper
        probe = CodeProbe(ROOT)
        first = show(probe, "first")
        Path("helper.py").write_text("x = 2\\n")
        assert not probe.changed()
        assert show(probe).snapshot.digest == first.snapshot.digest
    """)


def test_reload_after_an_edit_is_a_change(project) -> None:
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


def test_reading_the_source_again_is_no_reload(project) -> None:
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


def test_lazy_import_after_an_edit_records_what_was_imported(project) -> None:
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


def test_configuration_read_again_after_an_edit(project) -> None:
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


def test_script_edited_while_it_starts_is_partial(project) -> None:
    seen = project.observe("""
        show(CodeProbe(ROOT))
    """)
    assert seen.coverage.level is Level.COMPLETE
    # The script rewrites itself before the watch is there: what ran cannot be known any more.
    edit = (
        "import os, pathlib, time\n"
        "time.sleep(0.02)  # longer than the grain of the process's own start\n"
        "me = pathlib.Path(__file__)\n"
        "me.write_text(me.read_text() + '# edited')\n"
    )
    project.write("main.py", edit + (project.root / "main.py").read_text())
    project.run()
    seen = project.seen()
    assert seen.coverage.level is Level.PARTIAL
    assert "main.py" in seen.coverage.reasons[0]
    assert seen.content("main.py").endswith(b"# edited")


def test_resources_of_packages_are_read_files(project) -> None:
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


def test_odd_things_in_sys_modules_and_sys_path(project) -> None:
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


def test_executed_files_are_loaded(project) -> None:
    project.write("settings.py", "a = 1\n")
    seen = project.observe("""
        import runpy
        runpy.run_path("settings.py")
        show(CodeProbe(ROOT))
    """)
    assert seen.loaded == {"main.py", "settings.py"}


def test_run_as_a_module(project) -> None:
    project.write("app/__init__.py", "")
    project.write("app/__main__.py", project.prelude + "show(CodeProbe(ROOT))\n")
    project.run("", python=("-m", "app"))
    assert project.seen().loaded == {"app/__init__.py", "app/__main__.py"}
    assert project.seen().coverage.level is Level.COMPLETE


@pytest.mark.parametrize(
    ("arguments", "reason"), [(("-c", "{}"), "python -c"), (("-",), "standard input")]
)
def test_code_without_a_file_is_partial(project, arguments: tuple[str, ...], reason: str) -> None:
    project.write("helper.py", "x = 1\n")
    text = project.prelude + "import helper\nshow(CodeProbe(ROOT))\n"
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


def test_forked_and_spawned_children(project) -> None:
    project.write("helper.py", "x = 1\n")
    project.write("late.py", "y = 1\n")
    project.write("main.py", project.prelude + textwrap.dedent("""
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
