"""Recreating a recorded environment: a cached virtual environment with the recorded distributions.

What cannot be recreated is found out, and listed, before anything is installed. An environment is
built where it stays, under a lock, and counts only once a mark says that it is whole, so that one
whose building was interrupted is never used. Trialbook itself is not installed: the rerun makes
the running one importable.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from trialbook.capture.packages import index_url, normalized_name
from trialbook.errors import RestoreEnvironmentError
from trialbook.records.canonical import digest_of
from trialbook.records.environment import EnvironmentState, Interpreter, Package
from trialbook.records.secrets import redacted_text, secret_values_of
from trialbook.restoring.lock import Tell, locked

_OWN = "trialbook"
_LAYOUT = 1
_MARK = "trialbook-complete.json"
_SHOWN = 8
_ASK_S = 20
_VERSION_PROGRAM = (
    "import platform; print(platform.python_implementation(), platform.python_version())"
)
_LIST_PROGRAM = (
    "import json; from importlib.metadata import distributions; "
    "print(json.dumps([[d.metadata['Name'], d.version] for d in distributions()]))"
)
_PIP_PROGRAM = "import pip; print(pip.__version__)"
_PIP_WITH_PYTHON = (22, 3)  # the first that installs for another interpreter, by --python
_PIP_VARIABLES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX", "PIP_FIND_LINKS")
_UV_VARIABLES = (
    "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX", "UV_FIND_LINKS",
)  # fmt: skip


def _silent(message: str) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a virtual environment is made of.

    Args:
        python: An interpreter of the recorded version.
        requirements: Lines of a requirements file, sorted.
        names: Normalized name to version of everything that must be there afterwards.
        index: The recorded package index, further ones after a space; ``None`` for the default.
    """

    python: Path
    requirements: tuple[str, ...]
    names: Mapping[str, str]
    index: str | None


def recreate(state: EnvironmentState, *, cache_dir: Path, tell: Tell = _silent) -> Path:
    """The interpreter of a virtual environment with the recorded distributions.

    Args:
        state: The recorded environment.
        cache_dir: Where environments are kept; made when it is not there.
        tell: Is told what takes time, and what is left out.

    Returns:
        Path of the interpreter.

    Raises:
        RestoreEnvironmentError: Something of the environment cannot be recreated (all of it is
            listed, and nothing was installed), or the installation failed.
    """
    recipe = recipe_of(state)
    own = next((package for package in state.packages if package.name == _OWN), None)
    if own is not None:
        tell(f"trialbook {own.version} is not installed there: the one that runs now is used")
    directory = cache_dir / _key(state)
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with locked(directory.with_suffix(".lock"), tell, "builds the same environment"):
            if not _is_whole(directory):
                _build(recipe, directory, tell)
    except OSError as error:
        raise RestoreEnvironmentError(
            f"the recorded environment cannot be recreated: {error.strerror or error}",
            where=str(error.filename or directory),
            hint="make room there, or set XDG_CACHE_HOME to another directory",
        ) from error
    return _python_of(directory)


def recipe_of(state: EnvironmentState) -> Recipe:
    """What a recorded environment is made of here; installs nothing.

    Raises:
        RestoreEnvironmentError: Something in it cannot be recreated; all of it is listed.
    """
    problems = [
        problem
        for package in state.packages
        if package.name != _OWN and (problem := _problem(package)) is not None
    ]
    python = _interpreter(state.interpreter)
    if python is None:
        wanted = f"{state.interpreter.implementation} {state.interpreter.version}"
        problems.insert(0, f"{wanted} is not on the PATH")
    if problems or python is None:
        shown = "; ".join(problems[:_SHOWN])
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise RestoreEnvironmentError(
            f"the recorded environment cannot be recreated: {shown}{more}",
            hint="make them available, or rerun with --env here and read the differences",
        )
    wanted_packages = [package for package in state.packages if package.name != _OWN]
    return Recipe(
        python,
        tuple(sorted(_requirement(package) for package in wanted_packages)),
        {package.name: package.version for package in wanted_packages},
        state.index_url,
    )


def _key(state: EnvironmentState) -> str:
    """Name of the environment: equal for equal distributions on an equal interpreter."""
    packages = [[p.name, p.version, p.origin, p.url] for p in state.packages if p.name != _OWN]
    interpreter = state.interpreter
    python = [interpreter.implementation, interpreter.version, sysconfig.get_platform()]
    return digest_of([_LAYOUT, python, packages, state.index_url])[:32]


def _problem(package: Package) -> str | None:
    """Why a distribution cannot be installed again, ``None`` when it can."""
    named = f"{package.name} {package.version}"
    if package.origin == "conda":
        return f"{named} was installed by conda"
    if package.origin == "editable":
        return f"{named} is an editable installation of {package.url}"
    if package.origin == "local":
        return f"{named} was built from a local directory"
    if package.origin != "index" and package.url is None:
        return f"the origin of {named} is not known"
    if package.url is not None and package.url.startswith("file:"):
        path = unquote(urlsplit(package.url).path)
        if not Path(path).exists():
            return f"{named} was installed from {path}, which is not here"
    return None


def _requirement(package: Package) -> str:
    if package.origin == "index":
        return f"{package.name}=={package.version}"
    return f"{package.name} @ {package.url}"


def _interpreter(wanted: Interpreter) -> Path | None:
    """An interpreter of exactly the recorded version, ``None`` when there is none."""
    asked = (wanted.implementation, wanted.version)
    if (platform.python_implementation(), platform.python_version()) == asked:
        return _own_base()
    minor = wanted.version.rpartition(".")[0]
    stem = "pypy" if wanted.implementation == "PyPy" else "python"
    for name in (f"{stem}{wanted.version}", f"{stem}{minor}", f"{stem}3", stem):
        for folder in os.environ.get("PATH", "").split(os.pathsep):
            found = shutil.which(name, path=folder) if folder else None
            if found is not None and _version_of(found) == asked:
                return Path(found)
    uv = shutil.which("uv")
    if uv is not None and stem == "python":
        found = _answer([uv, "python", "find", "--no-python-downloads", wanted.version])
        if found is not None and _version_of(found) == asked:
            return Path(found)
    return None


def _own_base() -> Path:
    """The interpreter that runs this program, outside of any virtual environment."""
    return Path(getattr(sys, "_base_executable", None) or sys.executable)


def _version_of(python: str) -> tuple[str, ...] | None:
    answer = _answer([python, "-I", "-c", _VERSION_PROGRAM])
    return tuple(answer.split()) if answer is not None else None


def _answer(command: Sequence[str]) -> str | None:
    """What a program prints, ``None`` when it fails, as a version manager's stand-in may."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ASK_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _is_whole(directory: Path) -> bool:
    """Whether an environment was built to its end, and its interpreter is still there."""
    return (directory / _MARK).is_file() and os.access(_python_of(directory), os.X_OK)


def _python_of(directory: Path) -> Path:
    return directory / "bin" / "python"


def _build(recipe: Recipe, directory: Path, tell: Tell) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    uv = shutil.which("uv")
    tell(f"installing {len(recipe.requirements)} packages with {'uv' if uv else 'pip'}")
    try:
        if uv is not None:
            _build_with_uv(uv, recipe, directory)
        else:
            _build_with_pip(recipe, directory)
        _check(recipe, directory)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    with (directory / _MARK).open("w") as mark:
        json.dump({"layout": _LAYOUT, "packages": dict(recipe.names)}, mark)
        mark.flush()
        os.fsync(mark.fileno())


def _build_with_uv(uv: str, recipe: Recipe, directory: Path) -> None:
    environment, options = _index_options(recipe.index, _UV_VARIABLES)
    _run([uv, "venv", "--no-project", "--python", str(recipe.python), str(directory)], environment)
    if recipe.requirements:
        install = [uv, "pip", "install", "--no-deps", "--python", str(_python_of(directory))]
        # As pip does: the index that has the version gives it, whichever it is.
        install += ["--index-strategy", "unsafe-best-match", *options]
        _run([*install, "-r", str(_requirements(recipe, directory))], environment)


def _build_with_pip(recipe: Recipe, directory: Path) -> None:
    environment, options = _index_options(recipe.index, None)
    _run([str(recipe.python), "-I", "-m", "venv", "--without-pip", str(directory)], environment)
    if recipe.requirements:
        # pip lives elsewhere, so that the built environment holds what was recorded only.
        installer: Path | None = None
        python = sys.executable
        if not _has_pip_for(recipe.python):
            installer = directory / "installer"
            python = str(_python_of(installer))
            _run([str(recipe.python), "-I", "-m", "venv", str(installer)], environment)
        install = [python, "-I", "-m", "pip", "--python", str(_python_of(directory)), "install"]
        install += ["--no-deps", "--disable-pip-version-check", "--no-input", *options]
        _run([*install, "-r", str(_requirements(recipe, directory))], environment)
        if installer is not None:
            shutil.rmtree(installer)


def _has_pip_for(python: Path) -> bool:
    """Whether the pip beside the running Trialbook can install for an interpreter.

    Its code runs in that interpreter, so it has to be the one that Trialbook itself runs in;
    making an environment for another pip takes five times as long as to install with one.
    """
    if python != _own_base():
        return False
    # Asked as it will be called: a pip of the user's own directory is not found then.
    version = _answer([sys.executable, "-I", "-c", _PIP_PROGRAM])
    numbers = re.findall(r"\d+", version or "")
    return tuple(int(number) for number in numbers[:2]) >= _PIP_WITH_PYTHON


def _requirements(recipe: Recipe, directory: Path) -> Path:
    path = directory / "requirements.txt"
    path.write_text("".join(f"{line}\n" for line in recipe.requirements))
    return path


def _index_options(
    index: str | None, own_variables: Sequence[str] | None
) -> tuple[dict[str, str], list[str]]:
    """Environment and options that make an installer use the recorded index.

    Where this machine's own settings name the same index they are left to the installer, since
    they may hold the password that no record has.

    Args:
        index: The recorded index.
        own_variables: Variables that alone configure the installer; ``None`` for pip, which has
            configuration files too.
    """
    environment = dict(os.environ)
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
        environment.pop(name, None)
    is_configured = own_variables is None or any(environment.get(v) for v in own_variables)
    if is_configured and index_url(os.environ, Path.home()) == index:
        return environment, []
    for name in (*_PIP_VARIABLES, *_UV_VARIABLES):
        environment.pop(name, None)
    environment["PIP_CONFIG_FILE"] = os.devnull
    if index is None:
        return environment, []
    first, *others = index.split()
    options = ["--index-url", first]
    for other in others:
        options += ["--extra-index-url", other]
    return environment, options


def _run(command: Sequence[str], environment: Mapping[str, str]) -> None:
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    except OSError as error:
        raise RestoreEnvironmentError(
            f"{Path(command[0]).name} cannot be started: {error.strerror}", where=command[0]
        ) from error
    if done.returncode != 0:
        said = redacted_text(
            done.stdout.decode("utf-8", "replace"), secrets=secret_values_of(os.environ)
        )[0]
        raise RestoreEnvironmentError(
            f"the recorded environment cannot be installed: {_fault(said)}",
            where=f"{Path(command[0]).name}, exit status {done.returncode}",
            hint="make the package index reachable, or rerun with --env here",
        )


def _fault(said: str) -> str:
    """What an installer gave as its reason: from its last error on, on one line."""
    lines = [line.strip(" \t\r╰╭│├─▶╴") for line in said.splitlines() if line.strip()]
    errors = [i for i, line in enumerate(lines) if line.lower().startswith("error")]
    reason = lines[errors[-1] :][:4] if errors else lines[-2:]
    return " ".join(reason)[:400] or "no reason was given"


def _check(recipe: Recipe, directory: Path) -> None:
    """Hold what was installed against what was recorded.

    Raises:
        RestoreEnvironmentError: A distribution is missing or has another version.
    """
    answer = _answer([str(_python_of(directory)), "-I", "-c", _LIST_PROGRAM])
    if answer is None:
        raise RestoreEnvironmentError(
            "the recreated interpreter does not start",
            where=str(_python_of(directory)),
            hint="rerun with --env here",
        )
    there = {normalized_name(name): version for name, version in json.loads(answer)}
    wrong = [
        f"{name} {there.get(name, 'missing')} instead of {version}"
        for name, version in recipe.names.items()
        if there.get(name) != version
    ]
    if wrong:
        raise RestoreEnvironmentError(
            f"the recreated environment differs: {', '.join(wrong[:_SHOWN])}",
            hint="rerun with --env here and read the differences",
        )
