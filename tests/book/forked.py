"""Programs in processes of their own that begin at one moment, forked from one process.

What they need is imported once, and not by each of them: that would cost more than most of what
they do. ``python forked.py`` reads from standard input what to run; it is no test's process, which
has threads and books of its own. A program may use ``ready()``, which waits until all are there,
and ``say(line)``.
"""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import Any


def in_processes(
    programs: Sequence[str],
    *arguments: object,
    killed: bool = False,
    killed_after: int | None = None,
) -> list[list[str]]:
    """Run each program in a process; the lines that each has said.

    Args:
        programs: Their code. A process fails by an exception, and with it the test.
        arguments: What they find in ``sys.argv[1:]``.
        killed: Whether each kills itself.
        killed_after: Kill them all, a moment after they have said so many lines together; ``None``
            to let them end by themselves.
    """
    order = {
        "programs": list(programs),
        "arguments": [str(argument) for argument in arguments],
        "killed_after": killed_after,
        "end": -signal.SIGKILL if killed or killed_after is not None else 0,
    }
    done = subprocess.run(
        [sys.executable, Path(__file__)],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    said: list[list[str]] = json.loads(done.stdout)
    return said


class _Program:
    """A program in its process, and the pipe by which it says lines."""

    def __init__(self, code: str, ready: int, go: int, others: Sequence[int]) -> None:
        self._read, write = os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(write)
            return
        for descriptor in (self._read, *others):
            os.close(descriptor)
        status, waited = 1, False

        def everybody_ready() -> None:
            nonlocal waited
            waited = True
            os.write(ready, b".")
            os.read(go, 1)  # the end of it, when all are there

        def say(line: object) -> None:
            os.write(write, f"{line}\n".encode())

        try:
            exec(compile(code, "program", "exec"), {"ready": everybody_ready, "say": say})
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            if not waited:  # the others are not to wait for one that fails
                os.write(ready, b".")
            sys.stderr.flush()
            os._exit(status)

    @property
    def pipe(self) -> int:
        return self._read


def _said(programs: Sequence[_Program], killed_after: int | None) -> list[list[str]]:
    """Read what they say until they have ended, or are killed."""
    texts = {program.pipe: b"" for program in programs}
    with DefaultSelector() as selector:
        for pipe in texts:
            selector.register(pipe, EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                data = os.read(key.fd, 65536)
                texts[key.fd] += data
                if not data:
                    selector.unregister(key.fd)
            if killed_after is not None and b"".join(texts.values()).count(b"\n") >= killed_after:
                killed_after = None
                time.sleep(int.from_bytes(os.urandom(1)) / 2560)  # anywhere in what they do
                for program in programs:
                    os.kill(program.pid, signal.SIGKILL)
    return [text.decode().split("\n")[:-1] for text in texts.values()]


def _import_all(order: dict[str, Any]) -> None:
    """Import what the programs name at their top, and what they will need at their first steps."""
    for code in set(order["programs"]):
        body = ast.parse(code).body
        named: list[ast.stmt] = [s for s in body if isinstance(s, ast.Import | ast.ImportFrom)]
        exec(compile(ast.Module(named, []), "program", "exec"), {})
    wanted = ["numpy.ma", "trialbook.book.migration", "trialbook.book.sqlite_engine"]
    if any(argument.startswith("postgresql:") for argument in order["arguments"]):
        wanted += ["psycopg", "sqlalchemy.dialects.postgresql.psycopg"]
        wanted += ["trialbook.book.postgres_pipeline"]
    for name in wanted:
        import_module(name)


def main() -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    order = json.load(sys.stdin)
    sys.argv[1:] = order["arguments"]
    _import_all(order)
    is_ready, ready = os.pipe()
    go, all_ready = os.pipe()
    programs: list[_Program] = []
    for code in order["programs"]:
        others = [is_ready, all_ready, *(program.pipe for program in programs)]
        programs.append(_Program(code, ready, go, others))
    os.close(ready)
    waiting = len(programs)
    while waiting and (dots := os.read(is_ready, waiting)):
        waiting -= len(dots)
    os.close(all_ready)
    said = _said(programs, order["killed_after"])
    ends = [os.waitstatus_to_exitcode(os.waitpid(program.pid, 0)[1]) for program in programs]
    if set(ends) != {order["end"]}:
        sys.exit(f"the programs ended with {ends}")
    print(json.dumps(said))


if __name__ == "__main__":
    main()
