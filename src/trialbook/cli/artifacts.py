"""``trialbook artifacts``."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trialbook.cli.options import common_options, format_option
from trialbook.cli.output import (
    Column,
    Format,
    on_terminal,
    size_text,
    write_csv,
    write_json_rows,
    write_note,
    write_table,
)
from trialbook.cli.wording import short_digest

if TYPE_CHECKING:
    from trialbook.book.reading import Reader
    from trialbook.records.study import ArtifactRecord, TrialRecord


@click.command()
@click.argument("reference", metavar="STUDY/N")
@click.option("--get", "name", metavar="NAME", help="Fetch this artifact instead of listing.")
@click.option(
    "--output",
    "-o",
    metavar="PATH",
    help="Where to: a file, a directory, or - for stdout. Default: the artifact's file name here.",
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@format_option
@common_options
def artifacts(
    reference: str,
    name: str | None,
    output: str | None,
    force: bool,
    format: Format,  # noqa: A002
    storage: str | None,
) -> None:
    """List the files a trial kept, or fetch one.

    What is fetched is checked against its digest; a file that is there is not replaced.
    """
    from trialbook.analysis.opening import opened

    if name is None and (output is not None or force):
        raise click.UsageError("--output and --force go with --get NAME")
    with opened(storage) as reader:
        trial = reader.trial(reference)
        found = () if trial.attempt is None else trial.attempt.artifacts
        if name is None:
            _list(trial, found, format)
        else:
            _fetch(reader, _named(trial, found, name), output, force)


def _list(trial: TrialRecord, found: tuple[ArtifactRecord, ...], format: Format) -> None:  # noqa: A002
    match format:
        case Format.JSON:
            write_json_rows(found)
        case Format.CSV:
            write_csv(
                ("name", "size_bytes", "media_type", "digest"),
                ((a.name, a.size_bytes, a.media_type, a.digest) for a in found),
            )
        case Format.TABLE if found:
            digest = short_digest if on_terminal() else str
            write_table(
                (
                    Column("NAME", wide=True),
                    Column("SIZE", right=True),
                    Column("TYPE"),
                    Column("SHA-256"),
                ),
                ((a.name, size_text(a.size_bytes), a.media_type, digest(a.digest)) for a in found),
            )
        case Format.TABLE:
            write_note(f"{trial.reference} kept no artifact")


def _named(trial: TrialRecord, found: tuple[ArtifactRecord, ...], name: str) -> ArtifactRecord:
    from difflib import get_close_matches

    from trialbook.errors import NotFoundError

    for artifact in found:
        if artifact.name == name:
            return artifact
    names = [artifact.name for artifact in found]
    near = get_close_matches(name, names, n=3) or names[:3]
    hint = "it has " + ", ".join(map(repr, near)) if near else "it kept no artifact"
    raise NotFoundError(f"{trial.reference} has no artifact {name!r}", hint=hint)


def _fetch(reader: Reader, artifact: ArtifactRecord, output: str | None, force: bool) -> None:
    if output == "-":
        sys.stdout.flush()
        for chunk in reader.blob_chunks(artifact.digest):
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        return
    # The name is recorded text: only its last component may decide where a file goes.
    plain = Path(artifact.name.replace("\\", "/")).name or "artifact"
    target = Path(plain if output is None else output)
    if target.is_dir():
        target /= plain
    if target.exists() and not force:
        raise click.UsageError(f"{target} is there already: add --force to replace it.")
    descriptor, draft = tempfile.mkstemp(prefix=".trialbook-", dir=target.parent)
    os.close(descriptor)
    try:
        reader.blob_to(artifact.digest, Path(draft))
        mask = os.umask(0)
        os.umask(mask)
        Path(draft).chmod(0o666 & ~mask)
        Path(draft).replace(target)
    finally:
        Path(draft).unlink(missing_ok=True)
    write_note(f"{target}: {size_text(artifact.size_bytes)}, sha256 {artifact.digest}")
