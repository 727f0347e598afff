"""A Python that has imported what every search imports, and runs each script in a fork of itself.

Nearly all that a short search takes is the start of its interpreter. What a script, its process
and its record see is the same: it is ``__main__``, with its arguments, its directory first on the
search path, and the environment of the test. What goes by options of the interpreter, or by
variables that it reads when it starts, takes one of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

_FORKING = """
import gc, json, os, sys, warnings
from importlib.machinery import SourceFileLoader
from types import ModuleType
import numpy, optuna
import trialbook.running.study, trialbook.tracking.recording
from trialbook.capture.distributions import strays
from trialbook.capture.packages import installed_packages

# A process looks at what is installed once; here all of them do.
installed_packages()
strays([numpy.__file__])
# Else each fork writes to, and so copies, the memory of all that is there, when garbage is looked
# for: half of what a short search takes.
gc.collect()
gc.freeze()
# It has no threads of its own; those of a numerical library wait for work.
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
else:
    sys.exit()
order = json.loads(line)
os.chdir(order["cwd"])
os.environ.clear()
os.environ.update(order["environment"])
for descriptor, path in enumerate((os.devnull, *order["streams"])):
    os.dup2(os.open(path, os.O_RDWR), descriptor)
sys.argv[:] = order["argv"]
sys.orig_argv[:] = [sys.executable, *order["argv"]]
path = os.path.abspath(sys.argv[0])
sys.path[0] = os.path.dirname(path)
main = sys.modules["__main__"] = ModuleType("__main__")
main.__file__, main.__loader__ = path, SourceFileLoader("__main__", path)
main.__dict__["__builtins__"] = __builtins__
exec(main.__loader__.get_code("__main__"), main.__dict__)
"""


class WarmInterpreter:
    """Runs scripts; use it in a ``with`` block."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _FORKING],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> WarmInterpreter:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(
        self, *argv: str, cwd: Path, environment: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """Run a script to its end.

        Args:
            argv: The script and its arguments.
            cwd: Where it runs.
            environment: Variables besides those of this process.

        Returns:
            Its exit code, negative for a signal, and what it wrote to standard error.
        """
        with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
            order = {
                "argv": argv,
                "cwd": str(cwd),
                "environment": {**os.environ, **(environment or {})},
                "streams": [out.name, err.name],
            }
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            return int(self._process.stdout.readline()), Path(err.name).read_text()
