"""Charts for paper."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations, pairwise

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the extra 'paper' is not installed")

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.text import Text

from trialbook.report.charts import Axis, Chart, ColorScale, Labels, Panel, Points, Role, Scale
from trialbook.report.labels import texts_of
from trialbook.report.matplotlib_backend import figure
from trialbook.report.paper.settings import drawing, families, without_glyph
from trialbook.report.venues import WIDTHS, usual_width, width_of

from .drawings import chart, every_mark, one
from .studies import HOSTILE


def _rendered(chart: Chart, width: str = "a4-full") -> Figure:
    found = figure(chart, width_of(width))
    with drawing(texts_of(chart)):
        found.draw_without_rendering()
    return found


def _settings() -> dict[str, object]:
    return {name: value for name, value in mpl.rcParams.items() if name != "backend"}


def _shown(drawn: Figure) -> list[Text]:
    return [text for text in drawn.findobj(Text) if text.get_visible() and text.get_text()]


def test_settings_of_matplotlib_stay_as_they_were_and_no_display_is_asked_for():
    before = _settings()
    _rendered(every_mark())
    assert _settings() == before
    script = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from report.drawings import every_mark\n"
        "from trialbook.report.matplotlib_backend import figure\n"
        "figure(every_mark()); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_settings_of_the_user_change_nothing(monkeypatch):
    simple = one(Points(np.zeros(1), np.zeros(1)))
    plain = _rendered(simple)
    monkeypatch.setitem(mpl.rcParams, "font.size", 30.0)
    assert np.array_equal(_rendered(simple).axes[0].bbox.extents, plain.axes[0].bbox.extents)


def test_hostile_texts_are_drawn_as_they_are():
    marks = [
        Points(np.zeros(1), np.zeros(1), label=name, style=index)
        for index, name in enumerate(HOSTILE)
    ]
    axis = Axis(HOSTILE[0], Scale.CATEGORY, HOSTILE)
    drawn = _rendered(one(*marks, x=axis, y=Axis(HOSTILE[2]), title=HOSTILE[6]))
    assert not [text for text in _shown(drawn) if text.get_parse_math() and "$" in text.get_text()]
    assert not [text for text in _shown(drawn) if "\x1b" in text.get_text()]


def test_dollars_are_shown_and_not_set_as_mathematics():
    drawn = _rendered(one(Points(np.zeros(1), np.zeros(1), label="$x^2$"), x=Axis("$x_1$")))
    assert {"$x^2$", "$x_1$"} <= {text.get_text() for text in _shown(drawn)}


def test_a_character_that_no_font_has_is_told_and_those_of_others_are_drawn():
    assert without_glyph(("abc", "\u05d0\u0628", "\u03b1")) == ""
    assert without_glyph(("a\U00012000a", "\U00012000\U00012001")) == "\U00012000\U00012001"
    assert families(("plain",)) == ("DejaVu Sans",)
    control = one(Points(np.zeros(1), np.zeros(1)), x=Axis("a\x1b[31m"))
    assert without_glyph(texts_of(control)) == ""  # it is drawn as an escape


@pytest.mark.parametrize(
    ("width", "columns", "color"),
    [
        ("a4", 2, None),
        ("icml", 4, None),
        ("neurips", 4, None),
        ("a4-full", 3, ColorScale("trial", (0.0, 5000.0))),
        ("neurips", 3, ColorScale("trial", (0.0, 5000.0))),
    ],
)
def test_labels_do_not_overlap_with_ten_params_of_long_names(width, columns, color):
    rng = np.random.default_rng(0)
    form = "optimizer.schedule.warmup_and_decay.group_{}.rate"
    if color is not None:  # its bar takes room from the panels, and wide letters fill what is left
        form = "a_rather_long_hyperparameter_name_number_{}"
    names = [form.format(index) for index in range(10)]
    axis = Axis("objective (higher is better)")
    panels = [
        Panel(
            Axis(name, Scale.LOG if index % 2 else Scale.LINEAR),
            axis,
            (Points(10 ** rng.uniform(-5, 0, 30), rng.random(30), Role.COMPLETE, "complete"),),
            color=color,
        )
        for index, name in enumerate(names)
    ]
    drawn = _rendered(chart(*panels, columns=columns, share_y=True), width)
    labels = [axes.xaxis.label for axes in drawn.axes if axes.xaxis.label.get_text()]
    assert len({label.get_text() for label in labels}) == len(names)
    for one_, other in combinations(labels, 2):
        assert not one_.get_window_extent().overlaps(other.get_window_extent())
    for axes in drawn.axes:
        boxes = [
            text.get_window_extent()
            for text in axes.get_xticklabels(which="both")
            if text.get_text() and axes.viewLim.x0 <= text.get_position()[0] <= axes.viewLim.x1
        ]
        boxes.sort(key=lambda box: box.x0)
        assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    edge = drawn.bbox.padded(2)
    for label in labels:
        assert edge.x0 <= label.get_window_extent().x0
        assert label.get_window_extent().x1 <= edge.x1


def test_long_categories_of_bars_leave_room_for_the_bars():
    names = tuple(f"{'long_name_' * 12}{index}" for index in range(10))
    points = Points(np.arange(10.0), np.arange(10.0))
    drawn = _rendered(one(points, y=Axis("param", Scale.CATEGORY, names)), "a4")
    (axes,) = drawn.axes
    assert axes.bbox.width > 0.4 * drawn.bbox.width
    assert len({text.get_text() for text in axes.get_yticklabels()}) == 10


@pytest.mark.parametrize("side", ["above", "below"])
def test_texts_at_the_ends_of_many_axes_do_not_run_together(side):
    names = tuple(f"param {index}" for index in range(11))
    places = np.arange(11.0)
    texts = Labels(places, np.zeros(11), ("1e-06", "0.0001", *("choice",) * 9), side)
    lines = Points(places, np.zeros(11))
    axis = Axis("", Scale.CATEGORY, names, (-0.5, 10.5))
    drawn = _rendered(one(lines, texts, x=axis, y=Axis(limits=(-1, 1))), "ieee")
    boxes = [text.get_window_extent() for text in drawn.axes[0].texts]
    assert len(boxes) == 11
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]


def test_a_label_is_in_the_legend_once():
    panel = Panel(Axis(), Axis(), (Points(np.zeros(1), np.zeros(1), label="same"),))
    drawn = _rendered(chart(panel, panel, columns=2))
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["same"]


@pytest.mark.parametrize("count", range(1, 9))
def test_a_legend_is_no_wider_than_its_figure(count):
    labels = [f"{'preempted'[: 3 + at]} {at}" for at in range(count)]
    points = [
        Points(np.array([0.0, 1.0]), np.array([0.0, 1.0]), at, label)
        for at, label in enumerate(labels)
    ]
    drawn = figure(one(*points))
    drawn.draw_without_rendering()
    inside = drawn.legends[0].get_window_extent()
    assert inside.x0 >= 0
    assert inside.x1 <= drawn.bbox.x1


def test_an_axis_of_whole_numbers_has_two_ticks_where_two_are_in_view():
    axis = Axis("layers", integer=True)
    row = [Panel(axis, Axis("y"), (Points(np.arange(1.0, 9.0), np.zeros(8)),))] * 3
    for axes in _rendered(chart(*row, columns=3)).axes:
        low, high = axes.viewLim.intervalx
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert len(ticks) >= 2
        assert all(tick == round(tick) for tick in ticks)
    alone = _rendered(one(Points(np.full(3, 4.0), np.arange(3.0)), x=axis)).axes[0]
    assert all(tick == round(tick) for tick in alone.get_xticks())


def test_times_within_a_second_are_told_apart():
    axis = Axis("time", Scale.TIME)
    drawn = _rendered(one(Points(1e9 + np.array([0.0, 0.9]), np.zeros(2)), x=axis))
    (low, high), axes = drawn.axes[0].viewLim.intervalx, drawn.axes[0]
    shown = [
        label.get_text()
        for place, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
        if low <= place <= high
    ]
    assert len(shown) == len(set(shown)) >= 1


def test_ticks_of_a_log_axis_are_powers_in_plain_text():
    axis = Axis("lr", Scale.LOG)
    drawn = _rendered(one(Points(np.array([1e-6, 1.0]), np.zeros(2)), x=axis))
    ticks = {text.get_text() for text in drawn.axes[0].get_xticklabels()}
    assert {"10⁻⁶", "10⁻⁴", "10⁻²", "10⁰"} <= ticks


def test_a_colour_bar_of_logarithms_is_labelled_as_a_log_axis():
    points = Points(np.zeros(2), np.zeros(2), colors=np.array([1e-5, 1e-1]))
    drawn = _rendered(one(points, color=ColorScale("time", (1e-5, 1e-1), log=True)), "a4")
    labels = [text.get_text() for text in drawn.axes[1].get_yticklabels()]
    assert labels[0] == "10⁻⁵"
    assert labels[-1] == "10⁻¹"


def test_a_log_axis_without_a_positive_number_is_linear():
    axis = Axis("x", Scale.LOG)
    drawn = _rendered(one(Points(np.array([-1.0, 0.0]), np.zeros(2)), x=axis))
    assert drawn.axes[0].get_xscale() == "linear"


def test_a_colour_bar_of_whole_numbers_has_no_ticks_between_them():
    points = Points(np.zeros(2), np.zeros(2), colors=np.array([0.0, 1.0]))
    drawn = _rendered(one(points, color=ColorScale("trial", (0.0, 1.0), integer=True)))
    assert all(tick == round(tick) for tick in drawn.axes[1].get_yticks())


def test_equal_colour_scales_have_one_bar():
    points = Points(np.zeros(2), np.zeros(2), colors=np.array([0.0, 1.0]))
    panel = Panel(Axis(), Axis(), (points,), color=ColorScale("c", (0.0, 1.0)))
    assert len(_rendered(chart(panel, panel, columns=2)).axes) == 3


def test_a_panel_with_nothing_says_so_and_makes_no_ticks_up():
    drawn = _rendered(one(empty="no complete trial"))
    (axes,) = drawn.axes
    assert [text.get_text() for text in axes.texts] == ["no complete trial"]
    assert list(axes.get_xticks()) == []


@pytest.mark.parametrize("width", WIDTHS, ids=lambda width: width.name)
def test_a_figure_is_as_wide_as_the_venue_asks(width):
    assert figure(one(Points(np.zeros(1), np.zeros(1))), width).get_figwidth() == width.inches


def test_panels_beside_each_other_take_the_page():
    panel = Panel(Axis(), Axis())
    assert usual_width(chart(panel)).name == "a4"
    assert usual_width(chart(panel, panel, columns=2)).name == "a4-full"
