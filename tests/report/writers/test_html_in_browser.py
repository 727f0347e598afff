"""The page in a real browser: what is drawn, and that nothing in it is executed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import optuna
import pytest

import trialbook
from trialbook.analysis.opening import opened
from trialbook.report.building import build
from trialbook.report.document import FigureBlock
from trialbook.report.writers.html import write

from ..browser import PROGRAM, Browser, Page, chromium
from ..documents import HOSTILE, document

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed")

_FIGURES = 9


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page whose every text is hostile, open."""
    (path,) = write(document(" ".join(HOSTILE)), tmp_path_factory.mktemp("hostile"))
    opened = browser.page()
    opened.open(path)
    yield opened
    opened.close()


def test_every_figure_is_drawn_and_nothing_of_its_texts_is_executed(page):
    assert page.draw_all() == _FIGURES
    assert page.evaluate("window.ran") is None
    assert page.troubles == []
    asked = [url for url in page.requests if not url.startswith("data:")]
    assert [url.rpartition("/")[2] for url in asked] == ["report.html"]
    links = page.evaluate("document.querySelectorAll('.plot a[*|href]').length")
    assert links == 0


def test_a_study_with_scripts_everywhere_is_printed_whole_and_nothing_is_executed(
    browser, tmp_path
):
    storage = trialbook.BookStorage(tmp_path / "book.db")
    study = optuna.create_study(storage=storage, study_name=" ".join(HOSTILE[:8]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([HOSTILE[0]])
    study.set_user_attr(HOSTILE[1], HOSTILE[2])
    study.optimize(_hostile_objective, n_trials=5, catch=ValueError)
    with opened(None, study) as reader:
        made = build(reader, study.study_name)
    storage.close()
    (path,) = write(made, tmp_path)
    content = path.read_text()
    for text in ("raised", "logged", "artifact", "choice"):
        assert f"{text} &lt;script&gt;" in content
    opened_page = browser.page()
    opened_page.open(path)
    figures = sum(isinstance(b, FigureBlock) for part in made.sections for b in part.blocks)
    drawn = "document.querySelectorAll('.plot:has(.main-svg)').length"
    before = opened_page.evaluate(drawn)
    opened_page.dark()
    opened_page.evaluate(_REMEMBER_INK)
    opened_page.call("Page.printToPDF")  # draws those too that were never scrolled to
    assert before < opened_page.evaluate(drawn) == figures
    assert opened_page.evaluate("window.inks") == ["#222222"]  # light, as paper is
    assert opened_page.evaluate("window.ran") is None
    assert opened_page.troubles == []
    opened_page.close()


_REMEMBER_INK = """
addEventListener("beforeprint", () => {
  const inks = Array.from(document.querySelectorAll(".js-plotly-plot"), (p) => p.layout.font.color);
  window.inks = Array.from(new Set(inks));
});
"""


@trialbook.tracked_objective(config={HOSTILE[0]: HOSTILE[1]})
def _hostile_objective(trial):
    x = trial.suggest_float(HOSTILE[0], 0.0, 1.0)
    trial.suggest_categorical(HOSTILE[3], [*HOSTILE, f"choice {HOSTILE[0]}"])
    trial.set_user_attr(HOSTILE[2], HOSTILE[0])
    trial.log({f"logged {HOSTILE[0]}": x}, step=0)
    trial.report(x, 0)
    kept = trial.dir / "kept"
    kept.write_text(HOSTILE[0])
    trial.log_artifact(kept, name=f"artifact {HOSTILE[0].replace('/', '')}")
    if trial.number == 2:
        raise ValueError(f"raised {HOSTILE[0]}")
    return x


def test_nothing_is_wider_than_a_small_window_and_figures_follow_the_colours_of_the_page(page):
    page.draw_all()
    ink = "getComputedStyle(document.querySelector('.plot text')).fill"
    light = page.evaluate(ink)
    page.dark()
    page.wait_until(f"{ink} !== '{light}'")
    page.size(360, 800)
    page.wait_until(
        "Array.from(document.querySelectorAll('.main-svg'))"
        ".every((drawing) => drawing.getBoundingClientRect().right <= 360)"
    )
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.troubles == []


def test_a_command_is_copied_as_it_is(page):
    page.browser.call("Browser.grantPermissions", permissions=["clipboardReadWrite"])
    page.call("Page.bringToFront")
    button = "document.querySelector('.command button')"
    assert page.evaluate(f"{button}.hidden") is False
    page.evaluate(f"{button}.click()")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.evaluate("document.querySelector('.command code').textContent")


def test_without_javascript_the_page_says_so_and_its_tables_are_there(browser, tmp_path):
    (path,) = write(document(), tmp_path)
    page = browser.page(scripts=False)
    page.open(path)
    seen = page.evaluate("document.querySelector('main').innerText")
    assert "Figures are drawn by JavaScript" in seen
    assert "The numbers behind this figure (40 rows)" in seen
    assert page.evaluate("document.querySelector('.command button').checkVisibility()") is False
    page.close()
