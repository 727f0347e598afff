"""The capture of a console inside the caller's process."""

from __future__ import annotations

import multiprocessing
import sys

from trialbook.tracking.console import ProcessConsole


def test_a_child_forked_while_another_thread_prints_prints_too(capfd) -> None:
    console = ProcessConsole()
    console.start()
    try:
        print("kept")
        tee = sys.stdout
        child = multiprocessing.get_context("fork").Process(
            target=lambda: print("of the child", flush=True)
        )
        with tee._lock:  # as a thread holds it that prints while another one forks
            child.start()
        child.join(60)
        assert child.exitcode == 0
    finally:
        child.kill()
        captured = console.stop()
    assert "of the child" in capfd.readouterr().out
    assert captured.blobs[0].content == b"kept\n"
    assert "those of other processes" in captured.gaps[0]
