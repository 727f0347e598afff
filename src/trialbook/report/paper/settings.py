"""How matplotlib is set while a chart is drawn or written, whatever the user's own settings are.

Nothing stays changed, and ``pyplot`` is never imported. Fonts are those that matplotlib brings, so
that a figure is the same on every machine; only characters that they lack are looked for in fonts
of the machine.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import matplotlib as mpl
from matplotlib import font_manager, ft2font

FAMILY = "DejaVu Sans"
_OTHERS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "IPAGothic",
    "Hiragino Sans",
    "PingFang SC",
    "Arial Unicode MS",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Noto Emoji",
    "Symbola",
)
"""Fonts that some machines have for what DejaVu Sans lacks."""
LABEL_PT, TICK_PT, SMALL_PT = 8.0, 7.0, 6.0
RASTER_DPI = 300
_SETTINGS = {
    "font.size": LABEL_PT,
    "axes.labelsize": LABEL_PT,
    "axes.titlesize": LABEL_PT,
    "xtick.labelsize": TICK_PT,
    "ytick.labelsize": TICK_PT,
    "legend.fontsize": TICK_PT,
    "axes.linewidth": 0.6,
    "axes.xmargin": 0.06,
    "axes.ymargin": 0.08,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "axes.formatter.use_mathtext": False,
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-4, 6),
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.0,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "legend.columnspacing": 1.2,
    "legend.borderpad": 0.1,
    "text.usetex": False,
    "text.parse_math": False,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "pdf.compression": 6,
    "svg.fonttype": "path",
    "svg.hashsalt": "trialbook",
    "figure.dpi": 100,
    "savefig.dpi": RASTER_DPI,
    "savefig.facecolor": "white",
    "figure.facecolor": "white",
    "path.simplify": True,
    "agg.path.chunksize": 20000,
}
_LOCK = threading.RLock()


@contextmanager
def drawing(texts: Sequence[str] = ()) -> Iterator[None]:
    """Draw or write within this: settings are ours, and characters without a glyph do not warn.

    matplotlib's settings belong to the whole process, so one thread draws at a time.

    Args:
        texts: What will be drawn, to choose the fonts.
    """
    with _LOCK, warnings.catch_warnings(), mpl.rc_context():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        warnings.filterwarnings("ignore", message=r"constrained_layout not applied")
        mpl.rcParams.update(_defaults())  # type: ignore[arg-type]
        mpl.rcParams.update(_SETTINGS)  # type: ignore[arg-type]
        mpl.rcParams["font.family"] = list(families(texts))
        yield


@cache
def _defaults() -> dict[str, object]:
    """Matplotlib's own defaults, without those that choose a window system."""
    return {
        name: value
        for name, value in mpl.rcParamsDefault.items()
        if not name.startswith(("backend", "toolbar", "interactive", "webagg", "tk.", "macosx."))
        and name not in ("timezone", "date.epoch")
    }


def families(texts: Sequence[str]) -> tuple[str, ...]:
    """The fonts to draw these texts with, the first one first."""
    lacking = _lacking(_bundled(), texts)
    found = [FAMILY]
    if lacking:
        installed = {entry.name: entry.fname for entry in font_manager.fontManager.ttflist}
        for name in _OTHERS:
            if name in installed and (rest := _lacking(installed[name], lacking)) != lacking:
                found.append(name)
                lacking = rest
    return tuple(found)


def without_glyph(texts: Sequence[str]) -> str:
    """The characters of these texts that are drawn as an empty box, in their order."""
    lacking = _lacking(_bundled(), texts)
    if lacking:
        installed = {entry.name: entry.fname for entry in font_manager.fontManager.ttflist}
        for name in families(texts)[1:]:
            lacking = _lacking(installed[name], lacking)
    return lacking


def _bundled() -> str:
    return str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")


def _lacking(font: str, texts: Sequence[str]) -> str:
    known = _characters(font)
    seen = dict.fromkeys(c for text in texts for c in text if not c.isspace())
    return "".join(c for c in seen if ord(c) not in known)


@cache
def _characters(font: str) -> frozenset[int]:
    return frozenset(ft2font.FT2Font(font).get_charmap())
