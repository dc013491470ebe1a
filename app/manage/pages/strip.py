"""A strip: the last runs of a monitor as bars, drawn here and not by the browser. Height is duration, shape and colour are the
outcome, and each strip says in words what it shows."""

from collections import Counter
from collections.abc import Sequence
from math import sqrt

from markupsafe import Markup

from app.store.glances import RunGlance

STEP, BAR, HEIGHT, LEAST = 4, 3, 24, 5
MOST = 60
LOOKS = {
    "success": "up", "failed": "failed", "lost": "failed", "expired": "failed", "overrun": "overrun", "missed": "missed",
    "superseded": "other", "aborted": "other", "revoked": "other", "unknown": "unknown", None: "running",
}  # fmt: skip
"""How each outcome is drawn; a run that is still open has none."""
WORDS = {
    "success": "succeeded", "failed": "failed", "lost": "lost", "expired": "expired", "overrun": "ran too long",
    "missed": "missed", "superseded": "superseded", "aborted": "aborted", "revoked": "revoked", "unknown": "unknown",
    None: "running",
}  # fmt: skip


def strip(runs: Sequence[RunGlance]) -> Markup:
    """The picture of these runs, oldest first, the newest at the right; empty where there are none."""
    if not runs:
        return Markup("")
    longest = max((run.seconds or 0.0 for run in runs), default=0.0)
    paths: dict[str, list[str]] = {}
    for n, run in enumerate(runs[-MOST:]):
        look = LOOKS.get(run.outcome, "other")
        paths.setdefault(look, []).append(_shape(look, (MOST - len(runs[-MOST:]) + n) * STEP, _height(run.seconds, longest)))
    drawn = Markup("").join(Markup('<path class="{}" d="{}"/>').format(f"run-{look}", "".join(d)) for look, d in paths.items())
    return Markup('<svg class="strip" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        MOST * STEP, HEIGHT, words(runs[-MOST:]), drawn
    )


def words(runs: Sequence[RunGlance]) -> str:
    """As in: last 60 runs: 58 succeeded, 1 failed, 1 missed."""
    counted = Counter(WORDS.get(run.outcome, "ended otherwise") for run in runs)
    said = ", ".join(f"{n} {word}" for word, n in counted.most_common())
    return f"Last {len(runs)} run{'' if len(runs) == 1 else 's'}: {said}"


def _height(seconds: float | None, longest: float) -> int:
    """The square root, so that one long run does not make all others flat."""
    if seconds is None or not longest:
        return HEIGHT // 2
    return max(LEAST, round((HEIGHT - 4) * sqrt(seconds / longest)))


def _shape(look: str, x: int, height: int) -> str:
    """The outline of one bar."""
    match look:
        case "failed":  # a full bar, cut through
            return f"M{x} 0h{BAR}v9h-{BAR}zM{x} 13h{BAR}v11h-{BAR}z"
        case "missed":  # hollow
            return f"M{x} 4h{BAR}v20h-{BAR}zM{x + 1} 5v18h1v-18z"
        case "overrun":  # a full bar with a point on it
            return f"M{x} 4l1.5-4 1.5 4v20h-{BAR}z"
        case "unknown" | "other":  # a stump
            return f"M{x} 20h{BAR}v4h-{BAR}z"
        case "running":  # it hangs from above
            return f"M{x} 0h{BAR}v12h-{BAR}z"
        case _:
            return f"M{x} {HEIGHT - height}h{BAR}v{height}h-{BAR}z"
