"""Find the objective that a text such as ``FILE.py:function`` or ``module:function`` names.

Only the standard library is imported here, so that the user's own module is the first to touch
NumPy and its kin: what it sets in ``os.environ`` before importing them then holds.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from trialbook.errors import ObjectiveNotFoundError, ObjectiveSignatureError

_HINT = "write FILE.py:function or module:function"


@dataclass(frozen=True, slots=True)
class ObjectiveSource:
    """Where an objective is found.

    Args:
        name: Qualified name in the file or module, such as ``objective`` or ``Model.objective``.
        file: Absolute path of a Python file, ``None`` for a module.
        module: Dotted name of a module, ``None`` for a file.
    """

    name: str
    file: str | None = None
    module: str | None = None

    def __str__(self) -> str:
        return f"{self.module if self.file is None else self.file}:{self.name}"

    @staticmethod
    def problem(text: str) -> str | None:
        """Why a text names no objective; ``None`` when it does. Looks at no file."""
        place, name = _split(text)
        if not place or not name:
            return f"{text!r} does not name a function; {_HINT}"
        if not all(part.isidentifier() for part in name.split(".")):
            return f"{name!r} is no name of a function; {_HINT}"
        if not _is_file(place) and not all(part.isidentifier() for part in place.split(".")):
            return f"{place!r} is neither a Python file nor a module's name; {_HINT}"
        return None

    @classmethod
    def of(cls, text: str, base: Path) -> ObjectiveSource:
        """The place that a text names.

        Args:
            text: ``FILE.py:function``, ``FILE.py::function`` or ``module:function``.
            base: Directory where relative files begin.

        Raises:
            ObjectiveNotFoundError: The text has no such form.
        """
        problem = cls.problem(text)
        if problem is not None:
            what, _, hint = problem.partition("; ")
            raise ObjectiveNotFoundError(what, hint=_named_functions(text, base) or hint)
        place, name = _split(text)
        if _is_file(place):
            return cls(name, file=str((base / Path(place).expanduser()).absolute()))
        return cls(name, module=place)

    def relative_to(self, base: Path) -> str:
        """The text that names it from this directory, for the record."""
        if self.file is None:
            return str(self)
        path = Path(self.file)
        shown = path.relative_to(base) if path.is_relative_to(base) else path
        return f"{shown.as_posix()}:{self.name}"


@dataclass(frozen=True, slots=True)
class LoadedObjective:
    """An objective with the module it was taken from.

    Args:
        function: What the name stands for: a tracked objective or a plain callable.
        module: Its module.
    """

    function: Callable[..., Any]
    module: ModuleType


def load_objective(source: ObjectiveSource, search_path: tuple[str, ...] = ()) -> LoadedObjective:
    """Import the file or module and take the objective from it.

    A file is executed once, as a module of its own under a stable name, with its directory first
    on ``sys.path`` as ``python FILE`` would have it. A module is imported with ``search_path``
    first on ``sys.path``.

    Args:
        source: Where the objective is found.
        search_path: Directories for modules, in their order; ``()`` leaves ``sys.path`` alone.

    Raises:
        ObjectiveNotFoundError: The file, module or name does not exist or cannot be imported; the
            exception of the user's code is its cause.
        ObjectiveSignatureError: The name stands for something that does not accept a trial.
    """
    if source.file is not None:
        module = load_file(Path(source.file))
    else:
        for directory in reversed(search_path):
            if directory not in sys.path:
                sys.path.insert(0, directory)
        module = _imported(str(source.module))
    function = _attribute(module, source)
    check_accepts_trial(function, str(source))
    return LoadedObjective(function, module)


def load_file(path: Path) -> ModuleType:
    """Execute a Python file as a module of its own.

    Its name is the file's stem, so that ``import STEM`` elsewhere finds this very module; where
    the stem is no identifier or names another module, it is ``_trialbook_STEM``.

    Raises:
        ObjectiveNotFoundError: There is no such file, or it raises.
    """
    path = path.absolute()
    if not path.is_file():
        raise _missing_file(path)
    directory = str(path.parent)
    if directory not in sys.path:
        sys.path.insert(0, directory)
    name = module_name(path)
    loaded = sys.modules.get(name)
    if loaded is not None:
        return loaded
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ObjectiveNotFoundError("this is no Python file", where=str(path), hint=_HINT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        raise _failed_import(str(path), error) from error
    return module


def module_name(path: Path) -> str:
    """The name under which a file's module is kept in ``sys.modules``; the same every time."""
    stem = path.stem
    fallback = "_trialbook_" + "".join(c if c.isalnum() else "_" for c in stem)
    if not stem.isidentifier() or stem in sys.stdlib_module_names:
        return fallback
    other = sys.modules.get(stem)
    if other is not None and getattr(other, "__file__", None) != str(path):
        return fallback
    return stem


def check_accepts_trial(function: object, where: str) -> None:
    """See that something can be called with a trial and gives its value at once.

    Raises:
        ObjectiveSignatureError: It cannot.
    """
    if not callable(function):
        raise ObjectiveSignatureError(
            f"the objective is a {type(function).__name__}, not a function",
            where=where,
            hint="name a function that takes a trial and returns a value",
        )
    target = getattr(function, "function", function)
    if isinstance(target, type):
        raise ObjectiveSignatureError(
            "the objective is a class, not a function",
            where=where,
            hint="name an instance with __call__, or a function that takes a trial",
        )
    if inspect.iscoroutinefunction(target) or inspect.isgeneratorfunction(target):
        kind = "coroutine" if inspect.iscoroutinefunction(target) else "generator"
        raise ObjectiveSignatureError(
            f"the objective is a {kind} function, so a call gives no value",
            where=where,
            hint="write it as a plain function that returns a value",
        )
    try:
        signature = inspect.signature(target)
    except (ValueError, TypeError):
        return  # a builtin that tells no signature: the call will show
    try:
        signature.bind(object())
    except TypeError as error:
        raise ObjectiveSignatureError(
            f"the objective {signature} does not accept a trial: {error}",
            where=where,
            hint="write it as def objective(trial): ..., with everything else as defaults",
        ) from error


def _split(text: str) -> tuple[str, str]:
    separator = "::" if "::" in text else ":"
    place, _, name = text.strip().rpartition(separator)
    return place, name


def _is_file(place: str) -> bool:
    return place.endswith(".py") or "/" in place


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(missing + "."):
            raise ObjectiveNotFoundError(
                f"there is no module {missing!r}",
                where=name,
                hint=f"install it, start from its directory, or write FILE.py:function; "
                f"the search began at {sys.path[0] if sys.path else 'nothing'}",
            ) from error
        raise _failed_import(name, error) from error
    except Exception as error:
        raise _failed_import(name, error) from error
    except SystemExit as error:
        raise _failed_import(name, error) from error


def _failed_import(place: str, error: BaseException) -> ObjectiveNotFoundError:
    where = place
    if isinstance(error, SyntaxError) and error.filename:
        where = f"{error.filename}:{error.lineno}"
    else:
        for frame, line in _frames(error):
            where = f"{frame}:{line}"
    return ObjectiveNotFoundError(
        f"the objective's code cannot be imported: {type(error).__name__}: {error}",
        where=where,
        hint="correct it; --debug shows the whole traceback",
    )


def _frames(error: BaseException) -> Iterator[tuple[str, int]]:
    """File and line of the frames in the user's own files, outermost first."""
    step = error.__traceback__
    while step is not None:
        file = step.tb_frame.f_code.co_filename
        own = not file.startswith("<") and "site-packages" not in file
        if own and not file.startswith((sys.base_prefix, str(Path(__file__).parents[1]))):
            yield file, step.tb_lineno
        step = step.tb_next


def _attribute(module: ModuleType, source: ObjectiveSource) -> Any:
    value: Any = module
    for part in source.name.split("."):
        if not hasattr(value, part):
            known = [
                name
                for name, item in vars(value).items()
                if not name.startswith("_") and callable(item) and not isinstance(item, type)
            ]
            near = get_close_matches(part, known, 1, 0.5)
            hint = f"did you mean {near[0]!r}?" if near else _listed(known)
            raise ObjectiveNotFoundError(
                f"there is no function {source.name!r}", where=_place(source), hint=hint
            )
        value = getattr(value, part)
    return value


def _place(source: ObjectiveSource) -> str:
    return source.file if source.file is not None else str(source.module)


def _listed(names: list[str]) -> str:
    if not names:
        return "define a function that takes a trial"
    return "name one of " + ", ".join(sorted(names)[:8])


def _missing_file(path: Path) -> ObjectiveNotFoundError:
    hint = "give the path of a Python file"
    if path.parent.is_dir():
        names = [entry.name for entry in path.parent.iterdir() if entry.suffix == ".py"]
        near = get_close_matches(path.name, names, 1, 0.5)
        if near:
            hint = f"did you mean {path.with_name(near[0])}?"
    return ObjectiveNotFoundError("there is no such file", where=str(path), hint=hint)


def _named_functions(text: str, base: Path) -> str | None:
    """For a file without a function: which it has, without running it."""
    path = base / Path(text.rstrip(":")).expanduser()
    if path.suffix != ".py" or not path.is_file():
        return None
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return None  # importing it will tell
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    takers = [name for name in names if name == "objective"] or names
    return f"name its function: {text.rstrip(':')}:{takers[0]}" if takers else None
