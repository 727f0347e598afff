"""What stands below a figure or above a table, the same in every format."""

from __future__ import annotations

from trialbook.report.charts import Chart


def caption_of(chart: Chart) -> str:
    """A figure's caption as whole sentences; its title where it has none."""
    return ended(chart.caption or chart.title)


def ended(text: str) -> str:
    """A text that something follows: with a full stop, unless it ends a sentence already."""
    return text if not text or text.rstrip()[-1:] in ".!?:;" else f"{text}."
