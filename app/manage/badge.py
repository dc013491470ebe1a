"""A badge: how many checks stand how, the word for it, and that word drawn. Who asks for which, and whether they may, stands in
`badge_routes.py`."""

import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

from app.domain.unseen import UNSEEN

GROUND, INK = "#3b4252", "#fff"
COLOURS = {"up": "#15803d", "late": "#b45309", "down": "#b91c1c"}  # white on each of them is read easily (4.5 : 1 and more)
SHIELDS = {"up": "success", "late": "important", "down": "critical"}
BEAT = "l1.5-5 2.5 9 1.5-4h2.5"  # a heart that beats; one that does not is flat, so that the colour does not say it alone
MARKS = {
    "up": f"h2.5{BEAT}",
    "late": f"h2.5{BEAT.replace('-5', '-2.5').replace('9', '4.5').replace('-4', '-2')}",
    "down": "h10.5",
}
FONT = "Verdana,DejaVu Sans,Geneva,sans-serif"
# Pixels of letters at 11 px, measured in DejaVu Sans, whose letters are as wide as Verdana's, and rounded to halves.
PIXELS = {
    3.0: "'IJijl", 3.5: " ,./:;\\|", 4.0: "-f", 4.5: "!()[]rt", 5.0: '"', 5.5: "*_`s", 6.0: "?Lcz", 6.5: "FPTYakovxy",
    7.0: "$0123456789EKSbdeghnpqu{}", 7.5: "ABCRVXZ", 8.0: "NU", 8.5: "&DGHOQ", 9.0: "#+<=>^w~", 9.5: "M", 10.5: "%m",
    11.0: "@W…",
}  # fmt: skip
WIDTHS = {letter: pixels for pixels, letters in PIXELS.items() for letter in letters}
WIDE, OTHER = 12.5, 8.0  # of East Asian letters and emoji, and of the rest of the world
LONGEST = 260.0  # pixels of a label; what is longer is cut
HEIGHT, PAD, MARK = 20, 7, 14
LEFT_OUT = re.compile(f"[{UNSEEN}\ud800-\udfff\ufffe\uffff]")  # those, too, that are no characters


@dataclass(frozen=True, slots=True)
class Standing:
    """Of how many checks so many are late and so many down; all others count as up, new and paused ones too."""

    total: int
    late: int
    down: int

    def word(self, states: int) -> str:
        """up, late or down; with 2 states what is late is still up."""
        if self.down:
            return "down"
        return "late" if self.late and states == 3 else "up"


def count(total: int, statuses: Iterable[str]) -> Standing:
    """The standing of `total` checks, of which these statuses are known; the rest are up."""
    known = list(statuses)
    return Standing(total, known.count("late"), known.count("down"))


def written(form: str, label: str, standing: Standing, states: int) -> tuple[str, str]:
    """Content type and text of a badge as svg, json or shields; the fields of the last two are Healthchecks' and shields.io's."""
    word = standing.word(states)
    if form == "svg":
        return "image/svg+xml", drawn(label, word)
    if form == "shields":
        shown = {"schemaVersion": 1, "label": label, "message": word, "color": SHIELDS[word]}
    else:
        shown = {"status": word, "total": standing.total, "grace": standing.late, "down": standing.down}
    return "application/json", json.dumps(shown)


def drawn(label: str, word: str) -> str:
    """The badge as SVG: no script, no style, no font and no link, so that any policy lets it be seen; any label is only text."""
    whole = one_line(label)
    short = clipped(whole)
    left, right = round(width(short)) + 2 * PAD, round(width(word)) + 2 * PAD + MARK
    title = escape(f"{whole}: {word}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="{HEIGHT}" role="img" aria-label="{title}">'
        f"<title>{title}</title>"
        f'<rect width="{left + right}" height="{HEIGHT}" rx="4" fill="{GROUND}"/>'
        f'<path d="M{left} 0h{right - 4}a4 4 0 0 1 4 4v12a4 4 0 0 1-4 4h{4 - right}z" fill="{COLOURS[word]}"/>'
        f'<path d="M{left + PAD - 1} 10.5{MARKS[word]}" fill="none" stroke="{INK}" stroke-width="1.3" stroke-linejoin="round"'
        ' stroke-linecap="round"/>'
        f'<g fill="{INK}" font-family="{FONT}" font-size="11" text-anchor="middle">'
        f"{_text(short, PAD)}{_text(word, left + PAD + MARK)}</g></svg>"
    )


def _text(text: str, x: float) -> str:
    """From `x` on, in the room that was measured: letters of known width are set to it, whatever font the reader has."""
    fitted = f' textLength="{width(text):g}"' if WIDTHS.keys() >= set(text) else ""
    return f'<text x="{x + width(text) / 2:g}" y="14"{fitted}>{escape(text)}</text>'


def one_line(label: str) -> str:
    """What of a label can be seen in XML: no control character, no turning of the direction, single spaces; never empty."""
    spaced = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in LEFT_OUT.sub("", label))
    return " ".join(spaced.split()) or "unnamed"


def clipped(label: str) -> str:
    """As much of it as fits, with an ellipsis where it was cut."""
    if width(label) <= LONGEST:
        return label
    kept, room = 0, LONGEST - width("…")
    for letter in label:
        room -= _pixels(letter)
        if room < 0:
            break
        kept += 1
    return label[: min(kept, 200)].rstrip() + "…"


def width(text: str) -> float:
    """Pixels of a text at 11 px."""
    return sum(map(_pixels, text))


def _pixels(letter: str) -> float:
    if letter in WIDTHS:
        return WIDTHS[letter]
    if unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0.0
    return WIDE if unicodedata.east_asian_width(letter) in "WF" else OTHER
