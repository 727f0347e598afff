"""``trialbook doctor``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from trialbook.cli.failures import ExitCode
from trialbook.cli.options import common_options, format_option
from trialbook.cli.output import Format, write_csv, write_json_rows
from trialbook.cli.text import printable, styled

if TYPE_CHECKING:
    from trialbook.analysis.doctor import Check

_STYLES = {"ok": "green", "note": "cyan", "warning": "yellow", "failed": "red"}


@click.command()
@format_option
@common_options
def doctor(format: Format, storage: str | None) -> int:  # noqa: A002
    """Check this machine and show which settings won.

    Exit code 1 when something must be repaired before Trialbook can work.
    """
    from trialbook.analysis.doctor import Standing, checks

    found = list(checks(storage))
    match format:
        case Format.JSON:
            write_json_rows(found)
        case Format.CSV:
            write_csv(
                ("check", "standing", "detail", "hint"),
                ((c.name, str(c.standing), c.detail, c.hint) for c in found),
            )
        case Format.TABLE:
            for check in found:
                _write(check)
    failed = any(check.standing is Standing.FAILED for check in found)
    return ExitCode.FAILED if failed else ExitCode.DONE


def _write(check: Check) -> None:
    standing = styled(f"{check.standing:<8}", _STYLES[check.standing], sys.stdout)
    sys.stdout.write(f"{standing} {check.name:<10} {printable(check.detail)}\n")
    if check.hint is not None:
        sys.stdout.write(f"{'':<19} try: {printable(check.hint)}\n")
