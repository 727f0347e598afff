"""The page in a real browser: what is drawn, and that nothing in it is executed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

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


def test_printing_draws_figures_that_were_never_scrolled_to(browser, tmp_path):
    (path,) = write(document(), tmp_path)
    page = browser.page()
    page.open(path)
    drawn = "document.querySelectorAll('.plot .main-svg').length"
    before = page.evaluate(drawn)
    page.call("Page.printToPDF")
    assert page.evaluate("document.querySelectorAll('.plot:has(.main-svg)').length") == _FIGURES
    assert page.evaluate(drawn) > before
    page.close()


def test_without_javascript_the_page_says_so_and_its_tables_are_there(browser, tmp_path):
    (path,) = write(document(), tmp_path)
    page = browser.page(scripts=False)
    page.open(path)
    seen = page.evaluate("document.querySelector('main').innerText")
    assert "Figures are drawn by JavaScript" in seen
    assert "The numbers behind this figure (40 rows)" in seen
    assert page.evaluate("document.querySelector('.command button').checkVisibility()") is False
    page.close()
