"""The seal over all trials, and how a reader holds the book against it."""

from __future__ import annotations

from trialbook.analysis.columns import Column, Holds, Table
from trialbook.book.verification import Verification
from trialbook.report.document import Block, Fact, Facts, Notice, Paragraph, Section, Tone
from trialbook.report.source import ReportSource
from trialbook.report.wording import counted

_SHOWN = 20


def sealing(source: ReportSource) -> Section:
    """The seal, and the command that checks it."""
    seal = source.seal
    blocks: list[Block] = [
        Paragraph(
            "The seal is one digest (a Merkle root as in RFC 6962) over the records of all trials, "
            "failed, pruned and deleted ones among them. Whether one was changed, added or dropped "
            "since, the command below tells. Not under the seal are the study's own settings and "
            "attributes, the times of trials, and what came after them: reruns with their "
            "verdicts, and how often test metrics were shown."
        ),
        Facts(
            (
                Fact("seal", seal.seal, Holds.DIGEST),
                Fact("trials that it covers", seal.trials, Holds.INTEGER),
                Fact("of these deleted", seal.deleted, Holds.INTEGER),
                Fact("of these unfinished", seal.unfinished, Holds.INTEGER),
            )
        ),
    ]
    if seal.unfinished:
        blocks.append(
            Notice(
                "The seal is not final: it changes when the unfinished trials end.", Tone.WARNING
            )
        )
    blocks.append(
        source.command(
            f"verify --seal {seal.seal} {source.command_name}",
            "Computes every digest again and holds the book against this seal.",
        )
    )
    return Section("seal", "The seal", (*blocks, *_verified(source)))


def _verified(source: ReportSource) -> list[Block]:
    found = source.verification
    if found is None:
        return [Notice("The records were not verified for this report; the command above does it.")]
    said = _checked(found)
    if not found.mismatches:
        return [Paragraph(f"The records were verified for this report, and all hold: {said}.")]
    table = Table(
        (Column("kind"), Column("where", Holds.CODE), Column("what")),
        tuple((one.kind, one.where, one.what) for one in found.mismatches),
    )
    return [
        Notice(
            f"The records were verified for this report: "
            f"{counted(len(found.mismatches), 'mismatch', 'mismatches')} in {said}.",
            Tone.WARNING,
        ),
        source.table("mismatches", "What is not what the book says.", table, shown=_SHOWN),
    ]


def _checked(found: Verification) -> str:
    parts = [
        counted(found.trials, "record"),
        counted(found.series, "metric"),
        counted(found.snapshots, "snapshot"),
        counted(found.blobs, "blob"),
    ]
    return ", ".join(parts)
