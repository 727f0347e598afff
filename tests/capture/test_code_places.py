"""The code probe in real processes: code outside the root, in archives, and behind links."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from trialbook.capture.code import CodeProbe
from trialbook.records.canonical import digest_of_bytes
from trialbook.records.code import ROOT, CodeState, FileEntry, GitState
from trialbook.records.coverage import Level


def test_siblings_on_pythonpath(project, tmp_path: Path) -> None:
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


def test_sibling_that_contains_the_root(project, tmp_path: Path) -> None:
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
def test_pth_siblings_editable_finders_and_strays(project, tmp_path: Path) -> None:
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
    project.write("main.py", project.prelude + "import by_pth, edit.core, stray, finder, numpy\n"
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


def test_archives_namespaces_and_sourceless_modules(project, tmp_path: Path) -> None:
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


def test_extension_module_of_the_tree(project) -> None:
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


def test_links_are_never_followed_out_and_imports_through_them_are_kept(
    project, tmp_path: Path
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


def test_reading_through_a_link_out_of_the_root_is_no_code(project, tmp_path: Path) -> None:
    outside = tmp_path / "storage"
    project.write("big.csv", "1\n", at=outside)
    (project.root / "big.csv").symlink_to(outside / "big.csv")
    (project.root / "storage").symlink_to(outside)
    seen = project.observe("""
        open("big.csv").read()
        open("storage/big.csv").read()
        os.close(os.open("storage", os.O_RDONLY))
        probe = CodeProbe(ROOT)
        show(probe)
        assert not probe.holds(str(ROOT / "big.csv"))  # so the data coordinate records it
        assert not probe.holds(str(ROOT / "storage" / "big.csv"))
    """)
    assert seen.loaded == {"main.py"}
    assert seen.coverage.level is Level.COMPLETE


def test_root_reached_through_a_link(project, tmp_path: Path) -> None:
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


def test_a_restored_tree_is_recorded_as_its_record_says(tmp_path: Path) -> None:
    contents = {"pkg/used.py": b"x = 1\n", ".cache/kept.txt": b"kept", "large.bin": b"too large"}
    files = tuple(
        FileEntry(path, "100644", len(content), digest_of_bytes(content))
        for path, content in sorted(contents.items())
    )
    git = GitState("0" * 40, "main", None, dirty=True)
    for path, content in contents.items():
        if path != "large.bin":
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_bytes(content)
    (tmp_path / "left-by-a-trial.txt").write_text("not part of it")
    probe = CodeProbe(tmp_path, origin=CodeState(git, files), cache_dir=tmp_path / "caches")
    observation = probe.observe()
    state = observation.snapshot.state_as(CodeState)
    assert state.git == git
    here = [entry for entry in state.files if entry.base == ROOT]
    assert {entry.path for entry in here} == {".cache/kept.txt", "pkg/used.py"}
    coverage = observation.snapshot.coverage
    assert coverage.level is Level.PARTIAL
    assert "not here, since the book holds the digest only: large.bin" in coverage.reasons
    assert "the code was restored from the book" in coverage.reasons
