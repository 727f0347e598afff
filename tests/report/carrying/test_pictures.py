"""PNG, SVG, HTML and text: what carries a reference, what keeps it, and what only looks like it."""

from __future__ import annotations

import gzip
import io
import random
import struct
import time
import zlib
from html import escape

import pytest

from trialbook.records.figure_references import FigureReference
from trialbook.report.carrying import html, png, reading, text
from trialbook.report.carrying.carried import Carried

from .figures import HOSTILE, REFERENCES, drawn, reference

pytest.importorskip("matplotlib")

DIGITS = reference("digits")


def read(content: bytes) -> tuple[str, list[FigureReference], tuple[str, ...]]:
    found = reading.read(io.BytesIO(content))
    return found.format, [c.reference for c in found.reading.carried], found.reading.notes


@pytest.fixture(scope="module")
def image() -> bytes:
    return drawn(DIGITS, "png")


def chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    crc = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def with_chunk(image: bytes, added: bytes) -> bytes:
    """A PNG without a reference, and this chunk behind its header."""
    bare = png.finished(image, DIGITS).replace(
        png._chunk(b"tEXt", b"trialbook\0" + str(DIGITS).encode()), b""
    )
    assert read(bare) == ("png", [], ())
    return bare[:33] + added + bare[33:]


@pytest.mark.parametrize("carries", REFERENCES, ids=["plain", "hostile", "opaque"])
@pytest.mark.parametrize("ending", ["png", "svg"])
def test_what_matplotlib_writes_is_read_back(carries, ending):
    assert read(drawn(carries, ending)) == (ending, [carries], ())


def test_the_same_figure_is_the_same_file():
    assert drawn(DIGITS, "png") == drawn(DIGITS, "png")


@pytest.mark.parametrize("carries", REFERENCES, ids=["plain", "hostile", "opaque"])
def test_a_png_is_given_another_reference(image, carries):
    changed = png.finished(image, carries)

    assert read(changed) == ("png", [carries], ())
    assert png.finished(changed, carries) == changed
    assert png.finished(changed, DIGITS) == png.finished(image, DIGITS)


def test_a_png_keeps_its_reference_through_a_program_that_keeps_texts_and_loses_it_otherwise(image):
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    opened = Image.open(io.BytesIO(image))
    kept, lost, international = io.BytesIO(), io.BytesIO(), io.BytesIO()
    info = PngInfo()
    info.add_text("trialbook", opened.text["trialbook"], zip=True)
    opened.save(kept, "png", pnginfo=info)
    info = PngInfo()
    info.add_itxt("trialbook", opened.text["trialbook"], lang="en", tkey="\u05e9", zip=True)
    opened.save(international, "png", pnginfo=info)
    opened.convert("RGB").resize((60, 40)).save(lost, "png")

    assert read(kept.getvalue()) == ("png", [DIGITS], ())
    assert read(international.getvalue()) == ("png", [DIGITS], ())
    assert read(lost.getvalue()) == ("png", [], ())


BEGIN = b"trialbook\0"


@pytest.mark.parametrize(
    ("added", "note"),
    [
        (chunk(b"tEXt", BEGIN + str(DIGITS).encode(), crc=1), "its checksum is wrong"),
        (chunk(b"tEXt", BEGIN + b"nonsense"), "holds no reference"),
        (chunk(b"tEXt", BEGIN + b"trialbook:1?x=y"), "is no reference"),
        (chunk(b"zTXt", BEGIN + b"\0" + b"no zlib"), "holds no reference"),
        (chunk(b"zTXt", BEGIN + b"\7" + zlib.compress(b"x")), "holds no reference"),
        (
            chunk(b"iTXt", BEGIN + b"\1\0en\0\0" + zlib.compress(bytes(50_000_000))),
            "holds no reference",
        ),
        (chunk(b"iTXt", BEGIN), "holds no reference"),
    ],
)
def test_a_damaged_chunk_is_named(image, added, note):
    _, found, notes = read(with_chunk(image, added))

    assert found == []
    assert len(notes) == 1
    assert note in notes[0]


def test_a_png_that_is_cut_anywhere_is_read_as_far_as_it_goes(image):
    for length in [*range(8, 700), len(image) - 5]:
        kind, found, notes = read(image[:length])
        assert kind == "png"
        assert found in ([], [DIGITS])
        assert notes
    assert read(image[: len(image) - 5])[1] == [DIGITS]


def test_a_png_with_noise_in_it_never_says_something_else(image):
    rng = random.Random(1)
    for _ in range(300):
        noisy = bytearray(image[:2000])
        noisy[rng.randrange(8, 300)] = rng.randrange(256)
        assert read(bytes(noisy))[1] in ([], [DIGITS])


def test_pixels_are_skipped_whatever_their_size(tmp_path):
    """A sparse file of 3 GiB is read in an instant: four chunks of it."""
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.write(png.SIGNATURE)
        file.write(struct.pack(">I", (1 << 31) - 1) + b"IDAT")
        file.seek((1 << 31) - 1 + 4, 1)
        file.write(struct.pack(">I", 1 << 30) + b"IDAT")
        file.seek((1 << 30) + 4, 1)
        file.write(chunk(b"tEXt", BEGIN + str(DIGITS).encode()) + chunk(b"IEND", b""))
    began = time.process_time()
    with path.open("rb") as file:
        assert png.carried(file).carried == (Carried(DIGITS),)
    assert time.process_time() - began < 5


def test_a_text_that_would_take_minutes_is_not_searched(tmp_path):
    path = tmp_path / "large.txt"
    with path.open("wb") as file:
        file.write(text.latex(DIGITS).encode() + b"\n" + b"x" * 5000)
        file.truncate(5 * 1024**3)
    with path.open("rb") as file:
        found = reading.read(file)
    assert (found.format, found.reading.carried) == ("text", ())
    assert found.reading.notes == ("it has more than 4 GiB, so no reference was looked for",)


def test_what_an_svg_draws_is_not_what_it_carries():
    carried = str(DIGITS)
    for said in (
        f"<text>{escape(carried)}</text>",
        f"<text>&lt;metadata&gt;{escape(carried)}&lt;/metadata&gt;</text>",
        f"<metadata></metadata><text>{escape(carried)}</text><metadata/>",
    ):
        assert read(f"<svg xmlns='x'>{said}</svg>".encode()) == ("svg", [], ())


def test_an_svg_expands_no_entity_and_opens_nothing(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(str(DIGITS))
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 30))
    for document in (
        f'<!DOCTYPE svg [<!ENTITY x SYSTEM "file://{secret}">]><svg><metadata><a>&x;</a>',
        f'<!DOCTYPE svg [<!ENTITY l0 "{escape(str(DIGITS))}">{laughs}]><svg><metadata><a>&l29;</a>',
    ):
        assert read(f"{document}</metadata></svg>".encode()) == ("svg", [], ())


def test_metadata_that_never_ends_is_gone_through_once():
    began = time.process_time()
    assert read(b"<svg xmlns='x'>" + b"<metadata>" * 300_000) == ("svg", [], ())
    assert time.process_time() - began < 20


def test_a_compressed_svg_is_read_and_a_bomb_is_not_swallowed():
    whole = gzip.compress(drawn(DIGITS, "svg"))
    bomb = gzip.compress(b"<svg>" + bytes(70 * 1024 * 1024), 1)

    assert read(whole) == ("svg", [DIGITS], ())
    assert read(whole[:-200])[2] == ("the compressed SVG ends before its end",)
    assert read(bomb) == ("svg", [], ("the compressed SVG holds more than 64 MiB",))
    assert read(gzip.compress(b"a,b\n"))[0] == "other"


def test_a_page_carries_its_own_reference_and_that_of_each_figure():
    table = reference("digits", "table:trials")
    page = f"""<!doctype html><html><head><meta charset="utf-8">{html.meta(HOSTILE)}</head>
    <body><figure {html.attribute(DIGITS)}></figure><table {html.attribute(table)}></table>
    <figure {html.attribute(DIGITS)}></figure></body></html>"""

    assert read(page.encode()) == ("html", [HOSTILE, DIGITS, table], ())
    # As a browser saves it, far into the file.
    padded = page.replace("<body>", "<body>" + "<p>x</p>" * 400_000)
    assert read(padded.encode()) == ("html", [HOSTILE, DIGITS, table], ())


def test_so_many_references_are_read_and_so_many_wrong_ones_are_quoted():
    def page(*texts: str) -> bytes:
        return ("<html>" + "".join(f'<p data-reference="{each}">' for each in texts)).encode()

    many = page(*(f"trialbook:1?shows=h{number}&amp;key={'1' * 32}" for number in range(1500)))
    _, found, notes = read(many)
    assert len(found) == 1000
    assert notes == ("it carries more than the 1,000 references that are read",)

    wrong = page(
        *(f"trialbook:1?x{number}" for number in range(20)), str(DIGITS), *["trialbook:1?"]
    )
    _, found, notes = read(wrong)
    assert found == [DIGITS]
    assert len(notes) == 4
    assert notes[-1] == "and 17 others are none"


def test_what_a_page_says_is_not_what_it_carries():
    forged = f"<figure {html.attribute(DIGITS)}>"
    in_script = forged.replace('"', '\\"')
    page = (
        f'<!doctype html><html><p>{escape(forged)}</p><script>var a = "{in_script}"</script></html>'
    )

    assert read(page.encode()) == ("html", [], ())


@pytest.mark.parametrize("carries", REFERENCES, ids=["plain", "hostile", "opaque"])
@pytest.mark.parametrize("write", [text.markdown, text.latex, text.typst])
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_a_comment_of_its_own_line_is_read(carries, write, end):
    around = f"# Title{end}{write(carries)}{end}body" if end else write(carries)

    assert read(around.encode()) == ("text", [carries], ())


def test_a_reference_within_a_line_is_no_comment():
    assert read(f"see {text.latex(DIGITS)} and so on\n{DIGITS}\n% {DIGITS} x\n".encode())[1] == []


def test_a_reference_is_found_across_the_pieces_in_which_a_file_is_read():
    line = text.latex(DIGITS).encode()
    for before in (1024 * 1024 - 40, 1024 * 1024 + 64 * 1024 - 10, 2 * 1024 * 1024 - 1):
        content = b"x" * (before - 1) + b"\n" + line + b"\n" + b"y\n" * 900_000
        assert read(content)[1] == [DIGITS]


@pytest.mark.parametrize(
    "content", [b"", b"\0", b"%PDF-", b"\x89PNG\r\n\x1a\n", b"<svg", b"\x1f\x8b", b"\xff\xfe<"]
)
def test_nothing_much_is_read_as_nothing(content):
    assert read(content)[1] == []
