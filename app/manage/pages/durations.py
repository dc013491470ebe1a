"""How long the runs of a check took, as a picture that is drawn here: a bar for each, between them what is usual and what is
allowed. Heights are square roots, so that one long run does not make all others flat; the same stands in the table of runs."""

from collections.abc import Sequence
from math import ceil, sqrt

from markupsafe import Markup

from app.manage.pages.strip import LOOKS, words
from app.manage.pages.when import short
from app.store.glances import RunGlance

MOST = 200
FEWEST = 50  # places, so that a few bars are not made broad
STEP, BAR, HEIGHT, TOP = 4, 3, 120, 112
STUMP = 8


def plot(runs: Sequence[RunGlance], max_runtime: float | None) -> Markup:
    """The picture of these runs, oldest first; empty where none of them has a duration."""
    took = [run.seconds for run in runs if run.seconds is not None]
    if not took:
        return Markup("")
    top = max(*took, max_runtime or 0.0, 0.001)
    places = max(FEWEST, len(runs))
    paths: dict[str, list[str]] = {}
    for n, run in enumerate(runs):
        look = LOOKS.get(run.outcome, "other")
        paths.setdefault(look, []).append(_bar(look, (places - len(runs) + n) * STEP, _height(run.seconds, top)))
    width = places * STEP
    band = _band(width, _height(percentile(took, 50), top), _height(percentile(took, 95), top))
    limit = Markup("") if max_runtime is None else _line("limit", width, _height(max_runtime, top))
    bars = Markup("").join(Markup('<path class="run-{}" d="{}"/>').format(look, "".join(d)) for look, d in paths.items())
    return Markup(
        '<svg class="plot" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}{}{}</svg>'
    ).format(width, HEIGHT, f"{words(runs)}. {told(runs, max_runtime)}", band, bars, limit)


def told(runs: Sequence[RunGlance], max_runtime: float | None) -> str:
    """The same in numbers, as in: half took no longer than 2 min, 95 of 100 no longer than 5 min, the longest 12 min."""
    took = [run.seconds for run in runs if run.seconds is not None]
    if not took:
        return ""
    half, most = short(percentile(took, 50)), short(percentile(took, 95))
    said = f"Half took no longer than {half}, 95 of 100 no longer than {most}; the longest {short(max(took))}."
    return said if max_runtime is None else f"{said} A run may take {short(max_runtime)}."


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest of these values that so many of a hundred are not above; of none 0."""
    return sorted(values)[max(0, ceil(len(values) * percent / 100) - 1)] if values else 0.0


def _height(seconds: float | None, top: float) -> int:
    return STUMP if seconds is None else max(2, round(TOP * sqrt(seconds / top)))


def _band(width: int, low: int, high: int) -> Markup:
    return Markup('<path class="band" d="M0 {}h{}v{}h-{}z"/>').format(HEIGHT - high, width, max(1, high - low), width)


def _line(look: str, width: int, height: int) -> Markup:
    return Markup('<path class="{}" d="M0 {}h{}"/>').format(look, HEIGHT - height, width)


def _bar(look: str, x: int, height: int) -> str:
    """The outline of one bar: shapes tell outcomes apart as in a strip."""
    top = HEIGHT - height
    match look:
        case "failed":  # cut through
            half = max(1, height // 2 - 2)
            return f"M{x} {top}h{BAR}v{half}h-{BAR}zM{x} {HEIGHT - half}h{BAR}v{half}h-{BAR}z"
        case "missed":  # hollow, from top to bottom
            return f"M{x} 8h{BAR}v112h-{BAR}zM{x + 1} 10v108h1v-108z"
        case "overrun":  # with a point on it
            return f"M{x} {top}l1.5-8 1.5 8v{height}h-{BAR}z"
        case "running":  # it hangs from above
            return f"M{x} 0h{BAR}v40h-{BAR}z"
        case _:
            return f"M{x} {top}h{BAR}v{height}h-{BAR}z"
