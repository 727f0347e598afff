"""What runs on a host that SSH reaches: it starts workers, sees their end, and tells of them.

The launcher sends the text of this file through the connection, so both halves of what is said
between them are always of one version. It uses the standard library; only to share out a host's
cores and GPUs does it ask the Trialbook that is installed there. What is to be done comes the same
way, as one line of JSON, so neither a worker's arguments nor a password ever stands in a command
line of the host. The client's half is ``ssh_client.py``.

Workers are started by a *keeper*, a process that outlives the connection and waits for them. It
writes a file for each, ``INDEX.json`` beside ``INDEX.log``, which says which process it is and, in
the end, how it ended. A launch's files lie in ``$XDG_STATE_HOME/trialbook/launches/LAUNCH``.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MARK = "\x1etrialbook "
"""Begins the line that answers: what a shell's start-up files print before it is no answer."""

BEGUN = {"begun": True}
"""Answered when starting begins: from here on workers may run, whatever is heard afterwards."""

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
_END_WRITTEN_S = 2.0
_LOOK_S = 0.1
_PIECE_BYTES = 1 << 16
_DESCRIPTORS = 1024


def identity(pid: int) -> str | None:
    """What tells a live process from a later one with its number; ``None`` for none or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (OSError, UnicodeDecodeError):
        return None if Path("/proc/self/stat").exists() else _identity_by_ps(pid)
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else f"{fields[18]}-{boot()}"


def _identity_by_ps(pid: int) -> str | None:
    command = ["/bin/ps", "-o", "state=,lstart=", "-p", str(pid)]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return None if not said or said[0].startswith("Z") else "_".join(said[1:])


def boot() -> str:
    """What tells this start of the machine, or of this container, from others (Linux)."""
    try:
        namespace = "".join(filter(str.isdigit, str(Path("/proc/self/ns/pid").readlink())))
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text()[:8]}-{namespace}"
    except OSError:
        return ""


def start(order: dict[str, Any]) -> dict[str, Any]:
    """Start those workers of a launch that were not started here before; say of each where it is.

    It may be asked twice, by a client that did not hear the answer.
    """
    _answered(BEGUN)
    environments = _environments(order)
    folder = _state_home() / "trialbook" / "launches" / str(order["launch"])
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(folder):
        answer: dict[str, Any] = {}
        for index in order["workers"]:
            job = _job(folder / f"{index}.json")
            if job is not None:
                answer[index] = {**job, "log": str(folder / f"{index}.log")}
        wanted = {index: argv for index, argv in order["workers"].items() if index not in answer}
        if wanted:
            answer.update(_kept(order, wanted, environments, folder))
    return {"workers": answer}


def _environments(order: dict[str, Any]) -> dict[str, dict[str, str]]:
    """What each worker finds set, by index: this host's cores and GPUs are shared out."""
    # Where the connection begins is no place of packages.
    sys.path[:] = [entry for entry in sys.path if entry]
    from trialbook.running.gpus import MASK, device_shares, visible_devices
    from trialbook.running.hash_seed import hash_seed
    from trialbook.running.launch.threads import thread_shares, usable_cores

    indices = list(order["workers"])
    found = {**os.environ, **order["environment"]}
    shared = {**found, **thread_shares(found, len(indices), usable_cores())}
    shared |= hash_seed(shared)
    if order["gpus_per_worker"] is None:
        return dict.fromkeys(indices, shared)
    shares = device_shares(visible_devices(found), len(indices), order["gpus_per_worker"])
    return {index: {**shared, MASK: share} for index, share in zip(indices, shares, strict=True)}


def _state_home() -> Path:
    state = os.environ.get("XDG_STATE_HOME")
    return Path(state) if state else Path.home() / ".local" / "state"


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("ab") as lock:
        # A file system without locks: two that start the same launch at once are unlikely.
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _job(file: Path) -> dict[str, Any] | None:
    try:
        with file.open() as text:
            if os.fstat(text.fileno()).st_uid != os.geteuid():
                return None
            job = json.load(text)
    except (OSError, ValueError):
        return None
    return job if isinstance(job, dict) and "exit" in job else None


def _write_job(file: Path, job: dict[str, Any]) -> None:
    made = file.with_suffix(".new")
    made.write_text(json.dumps(job))
    made.replace(file)


def _kept(
    order: dict[str, Any],
    wanted: dict[str, list[str]],
    environments: dict[str, dict[str, str]],
    folder: Path,
) -> dict[str, Any]:
    """Fork the keeper, which starts workers; what it says of them."""
    sys.stdout.flush()
    heard, told = os.pipe()
    middle = os.fork()
    if middle == 0:
        try:
            os.setsid()
            if os.fork() == 0:
                os.close(heard)
                _keep(order["directory"] or str(folder), folder, wanted, environments, told)
        finally:
            os._exit(0)
    os.close(told)
    os.waitpid(middle, 0)
    with os.fdopen(heard, "rb") as pipe:
        said = pipe.read()
    if not said:
        what = "the process that starts workers has died"
        return {index: {"error": what} for index in wanted}
    answer: dict[str, Any] = json.loads(said)
    return answer


def _keep(
    directory: str,
    folder: Path,
    wanted: dict[str, list[str]],
    environments: dict[str, dict[str, str]],
    told: int,
) -> None:
    """The keeper: start workers, say which they are, and wait for them."""
    # Whoever holds the connection's own descriptors open keeps the connection open, and whoever
    # holds the lock's keeps it locked.
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.closerange(3, told)
    os.closerange(told + 1, _DESCRIPTORS)
    for number in _STOP_SIGNALS:  # a worker does not hear what its parent ignores
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    answer: dict[str, Any] = {}
    running: dict[int, tuple[Path, dict[str, Any]]] = {}
    for index, command in wanted.items():
        log = folder / f"{index}.log"
        try:
            pid = _started(command, directory, environments[index], log)
        except (OSError, ValueError) as error:
            answer[index] = {"error": str(error)}
            continue
        running[pid] = (folder / f"{index}.json", _job_of(pid))
        try:
            _write_job(*running[pid])
        except OSError as error:
            # Nobody would find it again: a disk that is full, most likely.
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            del running[pid]
            answer[index] = {"error": str(error)}
            continue
        answer[index] = {**running[pid][1], "log": str(log)}
    for number in _STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    with os.fdopen(told, "w") as pipe:
        json.dump(answer, pipe)
    while running:
        pid, how = os.waitpid(-1, 0)
        if pid in running:
            file, job = running.pop(pid)
            _write_job(file, {**job, "exit": os.waitstatus_to_exitcode(how)})


def _started(command: list[str], directory: str, environment: dict[str, str], log: Path) -> int:
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    finally:
        os.close(output)
    pid: int = process.pid
    process.returncode = 0  # the keeper waits for it, by its number
    return pid


def _job_of(pid: int) -> dict[str, Any]:
    return {
        "pid": pid,
        "start": identity(pid) or "gone",  # it has ended already, and waits to be waited for
        "exit": None,
        "keeper": os.getpid(),
        "keeper_start": identity(os.getpid()),
    }


def status(order: dict[str, Any]) -> dict[str, Any]:
    """What has become of jobs, by index."""
    return {"jobs": {index: _state(job) for index, job in order["jobs"].items()}}


def _state(job: dict[str, Any]) -> dict[str, str]:
    written = _known(job)
    if written is None:
        return {"state": "unknown", "says": "the host has no files of it"}
    if identity(written["pid"]) == written["start"]:
        return {"state": "running", "says": ""}
    until = time.monotonic() + _END_WRITTEN_S
    while identity(written["keeper"]) == written["keeper_start"] and time.monotonic() < until:
        if written["exit"] is not None:
            break
        time.sleep(0.02)
        written = _known(job) or written
    written = _known(job) or written  # a keeper ends as soon as it has written the last end
    if written["exit"] is not None:
        return {"state": "ended", "says": _end(written["exit"])}
    if boot() not in written["keeper_start"]:
        return {"state": "unknown", "says": "the machine was started again, or is another one"}
    return {"state": "ended", "says": "nobody saw how"}


def _known(job: dict[str, Any]) -> dict[str, Any] | None:
    """What a keeper has written of a job, ``None`` when there is no such job.

    A book may name any process and any file. Only what this user's keepers have written counts.
    """
    path = Path(job["log"])
    written = _job(path.with_suffix(".json")) if path.suffix == ".log" else None
    return written if written is not None and written.get("pid") == job["pid"] else None


def _end(status: int) -> str:
    if status >= 0:
        return f"exit {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def cancel(order: dict[str, Any]) -> dict[str, Any]:
    """Ask jobs to end, by index: ``None`` for one that was asked or had ended, else why not."""
    answer: dict[str, str | None] = {}
    for index, job in order["jobs"].items():
        written = _known(job)
        answer[index] = None if written is not None else "the host has no files of it"
        if written is not None and identity(written["pid"]) == written["start"]:
            try:
                os.kill(written["pid"], signal.SIGTERM)
            except ProcessLookupError:
                pass
            except OSError as error:
                answer[index] = str(error)
    return {"jobs": answer}


def log(order: dict[str, Any]) -> None:
    """Answer, and then write what a job has printed, from an offset on."""
    path = Path(order["job"]["log"])
    job = _known(order["job"])
    if job is None:
        _answered({"error": "the host has no files of it"})
        return
    with path.open("rb") as file:
        file.seek(order["offset"])
        _answered({})
        _copy(file, job if order["follow"] else None)


def _copy(file: Any, job: dict[str, Any] | None) -> None:
    """Write a file out; when it is a job's, go on until that has ended or nobody listens."""
    while True:
        ended = job is None or identity(job["pid"]) != job["start"]  # before the file's last piece
        while piece := file.read(_PIECE_BYTES):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        # The client holds its end open for as long as it listens.
        if ended or select.select([0], [], [], _LOOK_S)[0]:
            return


def _answered(answer: dict[str, Any]) -> None:
    # A line of its own: what was printed before may have no end.
    sys.stdout.write(f"\n{MARK}{json.dumps(answer)}\n")
    sys.stdout.flush()


def main() -> None:
    """Do what the next line of the standard input says."""
    order = json.loads(sys.stdin.readline())
    try:
        if order["do"] == "log":
            log(order)
        else:
            _answered({"start": start, "status": status, "cancel": cancel}[order["do"]](order))
    except BrokenPipeError:  # nobody listens any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except ImportError as error:
        what = "not installed" if (error.name or "") == "trialbook" else "of another version"
        _answered({"error": f"trialbook is {what} for {order['python']} ({error})"})
    except Exception as error:  # whatever it is, the client is to hear of it
        what = getattr(error, "what", f"{type(error).__name__}: {error}")
        _answered({"error": what})


if __name__ == "__main__":
    main()
