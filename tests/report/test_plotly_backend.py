"""Charts as plotly's JSON."""

from __future__ import annotations

import base64
import html
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialbook.report.charts import (
    Axis,
    Cells,
    ColorScale,
    Curves,
    Panel,
    Points,
    Role,
    Scale,
    Spans,
)
from trialbook.report.labels import one_line
from trialbook.report.page.texts import escaped, hovered, numbers
from trialbook.report.plotly_backend import described, figure, figure_json, narrowest_px

from .drawings import chart, every_mark, one
from .studies import HOSTILE

_INTERPRETED = re.compile(r"[<>$%{}]|&(?!#\d+;)")
_LIBRARY_S_OWN = re.compile(r"<br>|</?extra>|%\{[a-z.]+(:\.4g)?\}")


_NOT_SHOWN = ("bdata", "hoverformat")


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    if isinstance(value, dict):
        return [
            text for key, item in value.items() if key not in _NOT_SHOWN for text in _texts(item)
        ]
    return []


@given(st.text())
def test_an_escaped_text_has_nothing_to_interpret_and_reads_as_it_was(text):
    assert not _INTERPRETED.search(escaped(text))
    assert html.unescape(escaped(text)) == one_line(text)
    assert not _INTERPRETED.search(hovered(text).replace("<br>", ""))


@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_of_a_chart_is_interpreted(name):
    for text in _texts(described(every_mark(name))):
        assert not _INTERPRETED.search(_LIBRARY_S_OWN.sub("", text)), text


def test_the_json_is_that_of_the_figure_and_the_same_each_time():
    shown = json.loads(figure_json(every_mark()))
    drawn = json.loads(figure(every_mark()).to_json())
    del drawn["layout"]["template"]
    assert drawn == shown
    assert figure_json(every_mark()) == figure_json(every_mark())


def test_the_json_can_stand_in_a_script_element_of_a_page():
    text = figure_json(every_mark("</script><!--\u2028"))
    assert text.isascii()
    assert not re.search("[<>&]", text)


def test_categories_are_never_taken_for_numbers_or_dates():
    axis = Axis("param", Scale.CATEGORY, ("2024-01-01", "7", "1e3"))
    layout = described(one(Points(np.arange(3.0), np.zeros(3)), x=axis))["layout"]
    assert layout["xaxis"]["type"] == "linear"
    assert layout["xaxis"]["ticktext"] == ["2024-01-01", "7", "1e3"]
    assert layout["xaxis"]["tickvals"] == [0, 1, 2]


def test_a_hovered_point_tells_its_text_its_category_and_its_numbers():
    axis = Axis("kind", Scale.CATEGORY, ("a", "b" * 50))
    marks = Points(np.array([0.0, 1.0]), np.array([2.0, 3.0]), texts=("trial 4", "trial 5"))
    (trace,) = described(one(marks, x=axis, y=Axis("loss")))["data"]
    assert trace["text"] == ["trial 4<br>kind: a", f"trial 5<br>kind: {'b' * 50}"]
    assert trace["hovertemplate"] == "%{text}<br>loss: %{y}<extra></extra>"


def test_a_label_is_in_the_legend_once_and_switches_all_that_have_it():
    points = Points(np.zeros(2), np.zeros(2), Role.PRUNED, "pruned")
    panel = Panel(Axis(), Axis(), (points,))
    traces = described(chart(panel, panel, panel, columns=3))["data"]
    assert [trace["showlegend"] for trace in traces] == [True, False, False]
    assert len({trace["legendgroup"] for trace in traces}) == 1


def test_what_has_no_numbers_is_not_drawn_and_not_in_the_legend():
    drawn = described(one(Points(np.array([np.nan]), np.zeros(1), label="none"), empty="nothing"))
    assert drawn["layout"]["showlegend"] is False
    assert [text["text"] for text in drawn["layout"]["annotations"]] == ["nothing"]


def test_hatched_spans_have_their_colour_behind_the_hatching():
    spans = Spans(np.array([0.0]), np.array([1.0]), np.array([0.0]), Role.PRUNED, "pruned")
    (trace,) = described(one(spans))["data"]
    assert trace["marker"]["pattern"]["bgcolor"] == trace["marker"]["color"]


def test_few_whole_numbers_have_no_ticks_between_them():
    points = Points(np.array([0.0, 2.0]), np.array([0.0, 900.0]))
    panel = Panel(Axis(integer=True), Axis(integer=True), (points,))
    layout = described(chart(panel))["layout"]
    assert layout["xaxis"]["dtick"] == 1
    assert "dtick" not in layout["yaxis"]


@pytest.mark.parametrize(
    ("low", "high", "form"),
    [
        (0.1, 3.0, "~r"),
        (8e-4, 1.2e4, "~r"),
        (2.0, 5.0, "~r"),
        (1e-5, 5e-4, "~e"),
        (8e-5, 1.0, None),
    ],
)
def test_labels_of_a_log_axis_have_one_format(low, high, form):
    points = Points(np.array([low, high]), np.zeros(2))
    axis = described(one(points, x=Axis("lr", Scale.LOG)))["layout"]["xaxis"]
    assert axis.get("tickformat") == form
    assert axis["exponentformat"] == "power"
    ranged = Axis("lr", Scale.LOG, limits=(low, high))
    drawn = described(one(Points(np.array([0.1, 1.0]), np.zeros(2)), x=ranged))
    assert drawn["layout"]["xaxis"].get("tickformat") == form


def test_a_colour_bar_of_few_whole_numbers_has_no_ticks_between_them():
    points = Points(np.zeros(2), np.zeros(2), colors=np.array([0.0, 3.0]))
    drawn = described(one(points, color=ColorScale("trial", (0.0, 3.0), integer=True)))
    assert drawn["layout"]["coloraxis"]["colorbar"]["dtick"] == 1


def test_few_whole_numbers_on_a_log_axis_have_ticks():
    points = Points(np.array([4.0, 8.0]), np.zeros(2))
    axis = Axis("units", Scale.LOG, integer=True)
    assert "dtick" not in described(one(points, x=axis))["layout"]["xaxis"]


def test_rows_differ_in_height():
    panel = Panel(Axis(), Axis(), (Points(np.array([0.0]), np.array([0.0])),))
    tall = replace(chart(panel), panels=((panel,), (panel,)), row_heights=(3.0, 1.0))
    layout = described(tall)["layout"]
    upper, lower = (
        end - start for start, end in (layout[name]["domain"] for name in ("yaxis", "yaxis2"))
    )
    assert upper == pytest.approx(3 * lower, rel=0.01)


def test_times_are_milliseconds_in_utc():
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
    drawn = described(one(Points(np.array([noon]), np.zeros(1)), x=Axis("when", Scale.TIME)))
    assert drawn["layout"]["xaxis"]["type"] == "date"
    assert drawn["data"][0]["x"] == [noon * 1000]


def test_equal_colour_scales_have_one_bar_and_logarithms_are_labelled_as_numbers():
    scale = ColorScale("time", (0.01, 100.0), log=True)
    points = Points(np.zeros(2), np.zeros(2), colors=np.array([0.1, 10.0]))
    panel = Panel(Axis(), Axis(), (points,), color=scale)
    other = Panel(Axis(), Axis(), (points,), color=ColorScale("other", (0.0, 1.0)))
    layout = described(chart(panel, panel, other, columns=3))["layout"]
    assert [name for name in layout if name.startswith("coloraxis")] == ["coloraxis", "coloraxis2"]
    assert layout["coloraxis"]["cmin"] == -2
    assert layout["coloraxis"]["colorbar"]["ticktext"] == ["0.01", "0.1", "1", "10", "100"]


def test_curves_keep_every_point_whatever_their_colour():
    x = np.array([0.0, 1, np.nan, 0, 1, np.nan, 5, 6])
    curves = Curves(x, x + 1, colors=np.array([0.0, 1.0, 0.0]))
    drawn = described(one(curves, color=ColorScale("c", (0.0, 1.0))))["data"]
    assert [trace["x"] for trace in drawn if trace["mode"] == "lines"] == [
        [0, 1, None, 5, 6],
        [0, 1],
    ]


@given(st.lists(st.floats(), min_size=20, max_size=40))
def test_packed_numbers_are_the_same_numbers(values):
    found = numbers(np.array(values))
    unpacked = np.frombuffer(base64.b64decode(found["bdata"]), f"<{found['dtype']}")
    np.testing.assert_array_equal(unpacked.astype(float), values)


def test_cells_of_a_grid_are_packed_with_their_shape():
    cells = Cells(np.arange(31.0), np.arange(21.0), np.full((20, 30), 0.5))
    (trace,) = described(one(cells, color=ColorScale("c", (0.0, 1.0))))["data"]
    assert trace["z"]["shape"] == "20, 30"


def test_many_points_are_compact():
    rng = np.random.default_rng(0)
    points = Points(np.arange(20_000.0), rng.random(20_000))
    assert len(figure_json(one(points))) < 20_000 * 15


def test_panels_keep_a_width_in_which_their_labels_are_read():
    panel = Panel(Axis("x"), Axis("y"))
    assert narrowest_px(chart(panel)) < 360
    assert narrowest_px(chart(*[panel] * 6, columns=6)) > 1000


def test_labels_of_panels_that_differ_in_the_middle_are_told_apart():
    names = [f"{'long.' * 12}{index}{'.name' * 12}" for index in range(4)]
    panels = [Panel(Axis(name), Axis("y"), (Points(np.zeros(1), np.zeros(1)),)) for name in names]
    layout = described(chart(*panels, columns=4))["layout"]
    titles = [layout[axis]["title"]["text"] for axis in ("xaxis", "xaxis2", "xaxis3", "xaxis4")]
    assert len(set(titles)) == 4
    assert max(map(len, titles)) < 40
