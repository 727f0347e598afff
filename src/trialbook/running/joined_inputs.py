"""Data and configuration of a study for a worker that joins it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trialbook.book.storage import BookStorage
from trialbook.errors import ConfigError
from trialbook.records.config import ConfigState
from trialbook.restoring.inputs import DigestSources, found_inputs, place_inputs
from trialbook.running.inputs import InputSpec
from trialbook.running.joined_code import JoinedCode, data_scope
from trialbook.running.recorded_study import RecordedStudy


@dataclass(frozen=True, slots=True)
class JoinedData:
    """The inputs of a worker.

    Args:
        declared: Each as it was declared.
        paths: Input name to where it lies on this machine, where that is not where it was declared.
        remarks: What the user should know, one sentence each.
    """

    declared: dict[str, InputSpec]
    paths: dict[str, str]
    remarks: tuple[str, ...] = ()


def joined_data(
    study: RecordedStudy,
    code: JoinedCode,
    storage: BookStorage,
    mapped: Mapping[str, str],
    *,
    allow_other: bool,
    paranoid: bool,
) -> JoinedData:
    """Find the inputs of a study on this machine, each with its recorded content.

    Args:
        study: The study.
        code: Its code.
        storage: Its book.
        mapped: Input name to a path given for it.
        allow_other: Accept other content.
        paranoid: Read every file, whatever is known of it.

    Raises:
        RestoreDataError: Inputs are missing or have other content; every one is named.
        InvalidInputError: A path is given for an input that the study does not have.
    """
    scope = data_scope(study) if code.place is not None else str(code.places.restored["."])
    sources = None if paranoid else DigestSources(scope, storage.known_digests)
    found = found_inputs(
        study.data,
        code.places,
        {name: Path(path).expanduser().absolute() for name, path in mapped.items()},
        allow_other=allow_other,
        sources=sources,
        elsewhere=study.earlier_paths,
    )
    remarks: tuple[str, ...] = ()
    if code.place is not None:
        missing = place_inputs(study.data, code.places, found, sources=sources)
        remarks = tuple(
            f"the study's trials read {item.what} without declaring it, and it is not here or has "
            "other content"
            for item in missing
        )
    declared = {
        item.name: InputSpec(item.declared, None if item.verified else f"sha256:{item.digest}")
        for item in study.data.inputs
    }
    # A declared digest of what lies where it was declared is believed here as it was there.
    paths = {
        name: str(path)
        for name, path in found.paths.items()
        if declared[name].digest is None or str(path) != declared[name].path
    }
    return JoinedData(declared, paths, remarks)


def joined_config(
    config: ConfigState, file: str | None, overrides: Mapping[str, Any]
) -> tuple[str | dict[str, Any], dict[str, Any]]:
    """The configuration, and what is set over it.

    Args:
        config: The recorded one.
        file: A file that stands for it, for what the record leaves out.
        overrides: Dotted key to value.

    Raises:
        ConfigError: Credentials were left out of the record and are not given.
    """
    if file is not None:
        own = {key: value for key, value in config.overrides.items() if key not in config.redacted}
        return str(Path(file).expanduser().absolute()), {**own, **overrides}
    given = {key.lstrip("+") for key in overrides}
    missing = [key for key in config.redacted if key not in given]
    if missing:
        raise ConfigError(
            f"credentials were left out of the recorded configuration: {', '.join(missing)}",
            hint="give the file that has them with --config FILE, or each with --set KEY=VALUE",
        )
    return config.as_seen, dict(overrides)
