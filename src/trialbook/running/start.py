"""Where the processes of a run begin: ``python start.py PROGRAM SOCKET PARENT [TOOL]``.

A file is started, and not ``python -m``, because that puts the current directory in front of
everything, where a user's ``socket.py`` could stand in the way before the program begins.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    if sys.path[:1] == [__file__.rpartition("/")[0]]:
        del sys.path[0]  # this file's own directory, where nothing is to be found by name
    if len(sys.argv) > 4:
        sys.path.insert(0, sys.argv.pop())  # where Trialbook is found that is not installed here
    import gc
    from importlib import import_module

    program, descriptor, parent = sys.argv[1:]
    gc.disable()  # what is imported stays until the end, see garbage.py
    main = import_module(f"trialbook.running.{program}").main
    gc.freeze()
    gc.enable()
    main(int(descriptor), int(parent))
