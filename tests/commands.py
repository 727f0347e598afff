"""Command lines as a reader types them in a shell, and many of Trialbook's own in one process."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

# Reads the lines from its input. Starting a process takes longer than most commands.
_OWN = """
import shlex, sys
from trialbook.cli.main import exit_code_of_command
for line in sys.stdin.read().splitlines():
    code = exit_code_of_command(shlex.split(line)[1:])
    if code != 0:
        print(line, "ended with", int(code), file=sys.stderr)
        sys.exit(int(code))
"""


def shell(
    script: str, directory: Path, *, environment: Mapping[str, str] = {}
) -> subprocess.CompletedProcess[str]:
    """Run a script, with the installed programs first on the path, until a command fails.

    Where it is plain commands of Trialbook's own, one process runs them all.
    """
    lines = script.strip().splitlines()
    own = [sys.executable, "-c", _OWN] if all(map(_is_own, lines)) else None
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        own or ["bash", "-euo", "pipefail", "-s"],
        input="\n".join(lines),
        cwd=directory,
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def _is_own(line: str) -> bool:
    return line.startswith("trialbook ") and shlex.split(line, comments=True) == re.split(
        " +", line.strip()
    )
