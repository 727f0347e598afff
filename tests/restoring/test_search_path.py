"""Where restored code imports from: its own copies, never the tree that has moved on."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys
import sysconfig

import pytest

from trialbook.restoring.search_path import (
    OriginalPlaces,
    RestoredFinder,
    SearchPath,
    search_path,
)

SITE = sysconfig.get_path("purelib")


def search(recorded: tuple[str, ...], own: list[str], **bases: str) -> list[str]:
    originals = {"." if label == "root" else label: f"/home/ann/{label}" for label in bases}
    restored = {"." if label == "root" else label: place for label, place in bases.items()}
    path = SearchPath(recorded, originals, restored, "/tool")
    return search_path(path, OriginalPlaces(path), own)


def test_recorded_entries_come_first_and_in_their_order():
    own = ["/usr/lib/python311.zip", "/usr/lib/python3.11", SITE]
    recorded = (".:src", "/usr/lib/python3.11", SITE, "outside-1:", ".:")
    found = search(recorded, own, root="/new/root", **{"outside-1": "/new/outside-1"})
    assert found == [
        "/new/root/src",
        "/usr/lib/python3.11",
        SITE,
        "/new/outside-1",
        "/new/root",
        "/usr/lib/python311.zip",
    ]


def test_another_interpreters_libraries_and_original_directories_are_left_out(tmp_path):
    own = [SITE, "/home/ann/root/src", "/home/ann/root"]
    recorded = (
        "/opt/python3.9/lib/python3.9",
        "/opt/venv/lib/python3.9/site-packages",
        str(tmp_path),
        "/does/not/exist",
    )
    assert search(recorded, own, root="/new/root") == [str(tmp_path), SITE]


class EditableFinder(importlib.abc.MetaPathFinder):
    """Finds a package where it was installed from, as setuptools' editable installs do."""

    def __init__(self, name: str, directory) -> None:
        self.name, self.directory = name, directory

    def find_spec(self, fullname, path, target=None):
        if fullname != self.name:
            return None
        init = self.directory / "__init__.py"
        return importlib.util.spec_from_file_location(
            fullname, init, submodule_search_locations=[str(self.directory)]
        )


@pytest.fixture
def editable(tmp_path, monkeypatch):
    """A package of an editable install, edited since, and its restored copy."""
    name = "trialbook_editable_package"
    for place, value in (("original", "edited"), ("restored", "recorded")):
        package = tmp_path / place / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("from .inner import value\n")
        (package / "inner.py").write_text(f"value = {value!r}\n")
    finder = EditableFinder(name, tmp_path / "original" / name)
    path = SearchPath(
        (), {".": str(tmp_path / "original")}, {".": str(tmp_path / "restored")}, "/tool"
    )
    restored = RestoredFinder(OriginalPlaces(path))
    monkeypatch.setattr(sys, "meta_path", [restored, *sys.meta_path, finder])
    yield name
    for module in [module for module in sys.modules if module.startswith(name)]:
        del sys.modules[module]


def test_a_package_of_an_editable_install_is_the_restored_one(editable):
    assert importlib.import_module(editable).value == "recorded"


def test_what_was_not_restored_is_not_imported_from_the_original(editable, tmp_path):
    package = tmp_path / "restored" / editable
    (package / "__init__.py").unlink()
    with pytest.raises(ModuleNotFoundError, match="in the recorded code"):
        importlib.import_module(editable)
