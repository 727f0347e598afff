"""A study file: YAML into a checked, frozen ``RunSpec``; every fault is collected and told once.

``docs/study-files.md`` is the user's page of the same. Building samplers and importing the
objective happen elsewhere (``samplers.py``, ``objectives.py``); here they are only checked by name.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast, get_args

import yaml

from trialbook.capture.yaml import yaml_value
from trialbook.errors import ConfigError, InvalidInputError, SpecError
from trialbook.records.config import ComponentSettings, SearchSettings
from trialbook.records.secrets import redacted_mapping, redacted_text, secret_values_of
from trialbook.records.study import Direction, StudySpec
from trialbook.running.components import component_problems
from trialbook.running.conduct import conduct_of
from trialbook.running.inputs import InputSpec
from trialbook.running.objectives import ObjectiveSource
from trialbook.running.samplers import pruner_by_name, sampler_by_name
from trialbook.running.yaml_lines import key_lines

ISOLATIONS = ("auto", "fork", "fresh", "none")
_DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
_MAX_SEED = 2**32 - 1


@dataclass(frozen=True, slots=True)
class RunSpec:
    """Everything that a run was asked for, checked.

    Args:
        study: Name of the study in the book.
        objective: ``FILE.py:function`` or ``module:function``, files absolute.
        directions: One for each objective; ``None`` when nothing was asked for, which is to
            minimize one.
        sampler: ``None`` for the default.
        pruner: ``None`` for the default.
        seed: The study's seed, ``None`` for none.
        trials: Total of finished trials, ``None`` for no limit.
        hours: Wall time of one run, ``None`` for no limit.
        workers: Processes that run trials at the same time.
        data: Declared inputs by name; paths absolute.
        config: An absolute path, a mapping, or ``None``.
        overrides: Dotted key to value, on top of ``config``.
        tags: Free key and value text.
        isolation: ``auto``, ``fork``, ``fresh`` or ``none``.
        max_failures: A run whose first so many trials all fail stops; 0 for never.
        retries: Fields of ``RetryBudgets`` that are asked for.
        limits: Fields of ``TrialLimits`` that are asked for; ``None`` for no limit.
        lease_s: How long a worker holds a trial without a sign of life; ``None`` when nothing was
            asked for.
        default: Params of the default configuration, by name; empty when nothing was asked for.
        base: Where relative paths began: the study file's directory, or the current one.
        source: Text of the study file, ``None`` without one.
    """

    study: str
    objective: ObjectiveSource
    base: Path
    directions: tuple[Direction, ...] | None = None
    sampler: ComponentSettings | None = None
    pruner: ComponentSettings | None = None
    seed: int | None = None
    trials: int | None = None
    hours: float | None = None
    workers: int = 1
    data: dict[str, InputSpec] = field(default_factory=dict)
    config: str | dict[str, Any] | None = None
    overrides: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    isolation: str = "auto"
    max_failures: int = 3
    source: str | None = None
    retries: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, float | None] = field(default_factory=dict)
    lease_s: float | None = None
    default: dict[str, Any] = field(default_factory=dict)

    @property
    def search(self) -> SearchSettings:
        """What is asked of the search."""
        return SearchSettings(self.sampler, self.pruner, self.seed, self.trials, self.hours)

    @property
    def study_spec(self) -> StudySpec:
        """What the book keeps of it with the study."""
        spec = StudySpec(
            search=self.search,
            objective=self.objective.relative_to(self.base),
            isolation=self.isolation,
            max_failures=self.max_failures,
            tags=self.tags,
            source=self.source,
        )
        return self.conducted(spec)

    def conducted(self, spec: StudySpec) -> StudySpec:
        """A study's settings with the retries, limits, lease and default asked for here."""
        return replace(
            spec,
            retries=replace(spec.retries, **self.retries),
            limits=replace(spec.limits, **self.limits),
            lease_s=spec.lease_s if self.lease_s is None else self.lease_s,
            default=self.default or spec.default,
        )


def read_spec(path: Path) -> RunSpec:
    """The study that a YAML file describes.

    Args:
        path: The file. Relative paths in it begin at its directory.

    Raises:
        SpecError: The file cannot be read, or has faults; ``problems`` lists them all.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(
            f"the study file cannot be read: {error}",
            where=str(path),
            hint="give the path of a YAML file, or FILE.py:function",
        ) from error
    return parsed_spec(text, path)


def parsed_spec(text: str, path: Path) -> RunSpec:
    """The study that this YAML text describes, as if it stood in ``path``.

    Raises:
        SpecError: The text has faults; ``problems`` lists them all.
    """
    try:
        value = yaml_value(text, where=str(path))
    except ConfigError as error:
        raise SpecError(
            "the study file is no YAML that can be used",
            problems=(error.what,),
            where=error.where,
            hint=error.hint,
        ) from error
    reading = _Reading(value, key_lines(text), path.absolute().parent)
    spec = reading.spec(path.stem, text)
    if reading.problems or spec is None:
        count = len(reading.problems)
        raise SpecError(
            f"the study file has {count} fault{'s' if count != 1 else ''}",
            problems=tuple(reading.problems),
            where=str(path),
            hint="correct the file; docs/study-files.md lists every key",
        )
    return spec


def objective_spec(text: str, base: Path) -> RunSpec:
    """The study of ``FILE.py:function`` or ``module:function`` given on the command line.

    The study is called after the file or module, followed by the function's name unless that is
    ``objective``.

    Raises:
        ObjectiveNotFoundError: The text does not read as an objective.
    """
    source = ObjectiveSource.of(text, base)
    stem = Path(source.file).stem if source.file is not None else str(source.module)
    study = stem if source.name == "objective" else f"{stem}-{source.name}"
    return RunSpec(study=study, objective=source, base=base)


def suggestion(word: object, known: list[str] | tuple[str, ...]) -> str:
    """``; did you mean 'x'?`` when a known word is near, else the empty text."""
    near = get_close_matches(str(word).lower(), [name.lower() for name in known], 1, 0.6)
    found = next((name for name in known if near and name.lower() == near[0]), None)
    return f"; did you mean {found!r}?" if found else ""


class _Reading:
    """One pass over the document, which gathers faults instead of stopping at the first."""

    def __init__(self, value: object, lines: Mapping[tuple[str, ...], int], base: Path) -> None:
        self.problems: list[str] = []
        self._lines = lines
        self._base = base
        self._top: dict[str, Any] = {}
        if isinstance(value, Mapping):
            self._top = dict(value)
        else:
            kind = "empty" if value is None else f"a {type(value).__name__}"
            self.problems.append(f"the file must hold a mapping of keys to values, it is {kind}")

    def fault(self, path: tuple[str, ...], message: str) -> None:
        """Note one fault, with the line of its key when it is known."""
        line = self._lines.get(path)
        where = f"line {line}: " if line is not None else ""
        self.problems.append(f"{where}{'.'.join(path)}: {message}")

    def spec(self, stem: str, text: str) -> RunSpec | None:
        """The study; ``None`` when faults leave nothing to build it from."""
        self._refuse_unknown((), self._top, _KEYS)
        objective = self._objective()
        trials, hours = self._budget()
        values: dict[str, Any] = {
            "study": self._text("study", stem),
            "directions": self._directions(),
            "sampler": self._component("sampler"),
            "pruner": self._component("pruner"),
            "seed": self._whole(("seed",), self._top.get("seed"), 0, _MAX_SEED),
            "trials": trials,
            "hours": hours,
            "workers": self._whole(("workers",), self._top.get("workers"), 1) or 1,
            "data": self._data(),
            "config": self._config(),
            "tags": self._tags(),
            "isolation": self._isolation(),
            "default": self._mapping("default", "{lr: 0.001, layers: 2}"),
        }
        values.update(conduct_of(self._top, self.fault, self._refuse_unknown))
        failures = self._whole(("max_failures",), self._top.get("max_failures"), 0)
        values["max_failures"] = 3 if failures is None else failures
        if objective is None or self.problems:
            return None
        return RunSpec(
            objective=objective, base=self._base, source=_without_secrets(text, self._top), **values
        )

    def _refuse_unknown(
        self, path: tuple[str, ...], given: Mapping[Any, Any], known: tuple[str, ...]
    ) -> None:
        for key in given:
            if key not in known:
                name = str(key)
                near = suggestion(name, known) or f"; the keys are {', '.join(known)}"
                self.fault((*path, name), f"unknown key{near}")

    def _text(self, key: str, default: str) -> str:
        value = self._top.get(key, default)
        if not isinstance(value, str) or not value.strip():
            self.fault((key,), f"must be text, not {value!r}")
            return default
        return value

    def _objective(self) -> ObjectiveSource | None:
        value = self._top.get("objective")
        if value is None:
            if "objective" not in self._top and self._top:
                self.problems.append("objective: missing; write FILE.py:function")
            elif self._top:
                self.fault(("objective",), "is empty; write FILE.py:function")
            return None
        if not isinstance(value, str):
            self.fault(("objective",), f"must be text such as FILE.py:function, not {value!r}")
            return None
        problem = ObjectiveSource.problem(value)
        if problem is not None:
            self.fault(("objective",), problem)
            return None
        return ObjectiveSource.of(value, self._base)

    def _directions(self) -> tuple[Direction, ...] | None:
        if self._top.get("direction") is None and self._top.get("directions") is None:
            return None
        if "direction" in self._top and "directions" in self._top:
            self.fault(("directions",), "give either direction or directions, not both")
        several = self._top.get("directions")
        if several is None:
            values, path = [self._top.get("direction", "minimize")], ("direction",)
        elif isinstance(several, list) and several:
            values, path = several, ("directions",)
        else:
            self.fault(("directions",), f"must be a list of directions, not {several!r}")
            values, path = ["minimize"], ("directions",)
        for value in values:
            if value not in _DIRECTIONS:
                near = suggestion(value, _DIRECTIONS)
                self.fault(path, f"must be minimize or maximize, not {value!r}{near}")
        return tuple(cast(Direction, value) for value in values)

    def _component(self, key: str) -> ComponentSettings | None:
        value = self._top.get(key)
        if value is None:
            return None
        before = len(self.problems)
        for path, message in component_problems(key, value):
            self.fault((key, *path), message)
        if len(self.problems) > before:
            return None
        if isinstance(value, str):
            value = {"name": value}
        asked = ComponentSettings(value["name"], dict(value.get("settings") or {}))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # building it in earnest warns
                if key == "sampler":
                    sampler_by_name(asked, 0)
                else:
                    pruner_by_name(asked)
        except InvalidInputError as error:
            self.fault((key,), error.what)
        return asked

    def _budget(self) -> tuple[int | None, float | None]:
        value = self._top.get("budget")
        if value is None:
            return None, None
        if not isinstance(value, Mapping):
            self.fault(("budget",), f"must be a mapping such as {{trials: 40}}, not {value!r}")
            return None, None
        self._refuse_unknown(("budget",), value, ("trials", "hours"))
        trials = self._whole(("budget", "trials"), value.get("trials"), 1)
        hours = value.get("hours")
        if hours is not None and not _is_positive(hours):
            self.fault(("budget", "hours"), f"must be a number above 0, not {hours!r}")
            return trials, None
        return trials, None if hours is None else float(hours)

    def _whole(
        self, path: tuple[str, ...], value: object, least: int, most: int | None = None
    ) -> int | None:
        if value is None:
            return None
        whole = isinstance(value, int) and not isinstance(value, bool)
        if whole and least <= cast(int, value) and (most is None or cast(int, value) <= most):
            return cast(int, value)
        bound = f"from {least} up" if most is None else f"from {least} to {most}"
        self.fault(path, f"must be a whole number {bound}, not {value!r}")
        return None

    def _data(self) -> dict[str, InputSpec]:
        inputs: dict[str, InputSpec] = {}
        for name, value in self._mapping("data", "{train: data/train.csv}").items():
            path = ("data", str(name))
            entry = {"path": value} if isinstance(value, str) else value
            if not isinstance(entry, Mapping) or not isinstance(entry.get("path"), str):
                self.fault(path, f"must be a path, or {{path, digest}}, not {value!r}")
                continue
            self._refuse_unknown(path, entry, ("path", "digest"))
            digest = entry.get("digest")
            if digest is not None and not _is_digest(digest):
                self.fault((*path, "digest"), "must be 'sha256:' and 64 hexadecimal digits")
            inputs[str(name)] = InputSpec(_absolute(entry["path"], self._base), digest)
        return inputs

    def _mapping(self, key: str, example: str) -> dict[Any, Any]:
        value = self._top.get(key)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.fault((key,), f"must be a mapping such as {example}, not {value!r}")
            return {}
        return dict(value)

    def _config(self) -> str | dict[str, Any] | None:
        value = self._top.get("config")
        if isinstance(value, str):
            return _absolute(value, self._base)
        if value is None or isinstance(value, dict):
            return value
        self.fault(("config",), f"must be a YAML file or a mapping, not {value!r}")
        return None

    def _tags(self) -> dict[str, str]:
        tags: dict[str, str] = {}
        for name, value in self._mapping("tags", "{paper: table-2}").items():
            if isinstance(value, (Mapping, list)) or value is None:
                self.fault(("tags", str(name)), f"must be text, not {value!r}")
            else:
                tags[str(name)] = value if isinstance(value, str) else str(value)
        return tags

    def _isolation(self) -> str:
        value = self._top.get("isolation", "auto")
        if value not in ISOLATIONS:
            near = suggestion(value, ISOLATIONS)
            self.fault(("isolation",), f"must be one of {', '.join(ISOLATIONS)}{near}")
        return str(value)


_KEYS = (
    "study",
    "objective",
    "direction",
    "directions",
    "sampler",
    "pruner",
    "seed",
    "budget",
    "workers",
    "data",
    "config",
    "tags",
    "isolation",
    "max_failures",
    "retries",
    "limits",
    "lease",
    "default",
)


def _without_secrets(text: str, parsed: Mapping[Any, Any]) -> str:
    """The file's text for the record: as it stands, but for credentials.

    Where a credential is written so that only YAML knows where it ends, the redacted content is
    kept in the place of the text.
    """
    shown, _ = redacted_text(text, secrets=secret_values_of(os.environ))
    cleaned, places = redacted_mapping(parsed, secrets=secret_values_of(os.environ))
    if not places:
        return shown
    hidden = set(_lines(parsed)) - set(_lines(cleaned))
    if any(line in shown for line in hidden):
        return yaml.safe_dump(cleaned, sort_keys=False, allow_unicode=True)
    return shown


def _lines(value: object) -> Iterator[str]:
    """Every line of every scalar in a document."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _lines(item)
    elif isinstance(value, list):
        for item in value:
            yield from _lines(item)
    else:
        yield from (line for line in str(value).splitlines() if line.strip())


def _absolute(path: str, base: Path) -> str:
    """The path from ``base``, with ``~`` expanded; globs and symbolic links stay as written."""
    return str(base / Path(path).expanduser())


def _is_positive(value: object) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(cast(float, value)) and cast(float, value) > 0


def _is_digest(value: object) -> bool:
    if not isinstance(value, str) or not value.startswith("sha256:"):
        return False
    digits = value.removeprefix("sha256:")
    return len(digits) == 64 and all(digit in "0123456789abcdef" for digit in digits)
