"""Whether the objective of a script can be taken from it by importing it.

What a script runs as ``__main__`` can be imported instead when the search itself stands under
``if __name__ == "__main__"``. Scripts are read, not run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

_SEARCHES = frozenset({"optimize", "ask", "enqueue_trial", "run_study"})
BY_FILE_AND_NAME = (
    "run it once with 'trialbook run FILE.py:FUNCTION', so that the objective is recorded by its "
    "file and name"
)
"""What to do about an objective that cannot be imported."""


def script_obstacle(text: bytes, name: str) -> str | None:
    """Why importing a script is not safe or does not give the objective; ``None`` when it does.

    Args:
        text: The script.
        name: Name of the objective in it.
    """
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError) as error:
        return f"the script cannot be read: {error}"
    if not any(isinstance(node, ast.FunctionDef) and node.name == name for node in body):
        return f"the script has no function {name} at its top level"
    if not any(_is_guard(node) for node in body):
        return "the script has no 'if __name__ == \"__main__\":', so importing it would search"
    for call in _calls_at_import(body):
        called = call.func
        word = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        if word in _SEARCHES:
            return f"importing the script would search (line {call.lineno})"
    return None


def _is_guard(node: ast.stmt) -> bool:
    if not isinstance(node, ast.If) or not isinstance(node.test, ast.Compare):
        return False
    sides = [node.test.left, *node.test.comparators]
    return any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides) and any(
        isinstance(side, ast.Constant) and side.value == "__main__" for side in sides
    )


def _calls_at_import(body: list[ast.stmt]) -> Iterator[ast.Call]:
    """What a module calls while it is imported, as far as its text shows."""
    for node in body:
        if _is_guard(node) or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        yield from (found for found in ast.walk(node) if isinstance(found, ast.Call))
