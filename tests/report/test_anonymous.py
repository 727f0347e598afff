"""Names are found in a text in whatever form they got into it."""

from __future__ import annotations

from trialbook.book.identifying import Identifying
from trialbook.records.shell_words import arguments
from trialbook.report.anonymous import replacements


def found(**names: tuple[str, ...]) -> Identifying:
    empty = dict.fromkeys(Identifying.__dataclass_fields__, ())
    return Identifying(**{**empty, **names})  # type: ignore[arg-type]


def test_a_name_that_the_shell_quotes_is_replaced_too() -> None:
    name = "Ann's search of 'June'"
    rule = replacements([name], "sqlite:////home/ann/book.db", found())
    for text in (f"trialbook show {arguments(name)}", f"trialbook show {arguments(name + '/12')}"):
        told = rule.applied(text)
        assert "Ann" not in told, told
        assert "June" not in told, told
