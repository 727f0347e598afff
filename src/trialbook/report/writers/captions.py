"""What stands below a figure or above a table, the same in every format: whole sentences."""

from __future__ import annotations

from trialbook.report.charts import Chart


def caption_of(chart: Chart) -> str:
    """A figure's caption; its title where it has none."""
    return sentence(chart.caption or chart.title)


def notes_of(chart: Chart) -> tuple[str, ...]:
    """What was left out of a figure, a sentence each."""
    return tuple(map(sentence, chart.notes))


def sentence(text: str) -> str:
    """A text with a capital letter and a full stop; a first word such as ``fANOVA`` stays."""
    first = text.partition(" ")[0].rstrip(":,;")
    begun = f"{text[:1].upper()}{text[1:]}" if first.isalpha() and first.islower() else text
    return ended(begun)


def ended(text: str) -> str:
    """A text that something follows: with a full stop, unless it ends a sentence already."""
    return text if not text or text.rstrip()[-1:] in ".!?:;" else f"{text}."
