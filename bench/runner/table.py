# SPDX-License-Identifier: MIT
"""Samples to tables: medians, ratios against direct, goals beside them."""
from statistics import median

from .goals import GOALS, ORIGINAL

PROGRAMS = ("postgres", "redis", "http")  # figures of real clients, judged in both modes
WIDE_SPREAD = 0.3  # of the median, between the least and the greatest ratio


class Samples:
    """All that was taken: (figure, mode, way) → {round: number}, and why not."""

    def __init__(self):
        self.taken, self.problems, self.notes = {}, {}, {}

    def add(self, figure, mode, way, turn, value, notes):
        self.taken.setdefault((figure, mode, way), {})[turn] = value
        if notes:
            self.notes[figure, mode, way] = dict(notes)

    def fail(self, figure, mode, way, reason):
        self.problems[figure, mode, way] = reason

    def median(self, figure, mode, way):
        values = self.taken.get((figure, mode, way))
        return median(values.values()) if values else None

    def relative(self, figure, mode, way):
        """Per round, what the table shows: × direct's sample of that round, which was taken within the same minute."""
        direct, mine = (self.taken.get((figure.key, mode, w), {}) for w in ("direct", way))
        if figure.key == "exec":
            return [mine[r] - direct[r] for r in mine if r in direct]
        if figure.absolute:
            return list(mine.values())
        return [mine[r] / direct[r] for r in mine if direct.get(r)]

    def wide(self, figure, mode, way):
        values = self.relative(figure, mode, way)
        return len(values) > 1 and max(values) - min(values) > WIDE_SPREAD * abs(median(values))

    def ratios(self, figure, mode, ways):
        """Way → the median of that, for the ways that have one."""
        found = {w.key: self.relative(figure, mode, w.key) for w in ways}
        return {way: median(values) for way, values in found.items() if values}


def number(value):
    if value is None:
        return "–"
    if abs(value) >= 10000:
        return f"{value / 1000:.1f} K"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _cell(samples, figure, mode, way, ratios):
    if way.key in ratios:
        spread = "~" if samples.wide(figure, mode, way.key) else ""
        return (number(ratios[way.key]) if figure.absolute else f"{ratios[way.key]:.2f}") + spread
    return "✘" if (figure.key, mode, way.key) in samples.problems else "–"


def rows(samples, figures, modes, ways):
    """Header and rows of strings; a figure that nobody could take has no row."""
    others = [w for w in ways if w.key != "direct"]
    yield ["figure", "", "direct", *(w.title for w in others), "goal", "the original"]
    for figure in figures:
        for mode in modes:
            if mode not in figure.modes:
                continue
            ratios = samples.ratios(figure, mode, ways)
            direct = samples.median(figure.key, mode, "direct")
            judged = mode == figure.modes[0] or figure.server in PROGRAMS
            goals = "; ".join(g.text(ratios) for g in GOALS.get(figure.key, [])) if judged else ""
            unit = "" if figure.unit == "×" else f" {figure.unit}"
            yield [figure.title, mode, "–" if direct is None else number(direct) + unit,
                   *(_cell(samples, figure, mode, w, ratios) for w in others), goals, ORIGINAL.get((figure.key, mode), "")]


def as_text(lines):
    lines = list(lines)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    # Words to the left, numbers to the right.
    left = (0, 1, len(widths) - 2, len(widths) - 1)
    return "\n".join("  ".join(c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths))).rstrip()
                     for line in lines)


def as_markdown(lines):
    lines = list(lines)
    rule = ["---" if i in (0, 1, len(lines[0]) - 2, len(lines[0]) - 1) else "---:" for i in range(len(lines[0]))]
    return "\n".join("| " + " | ".join(line) + " |" for line in [lines[0], rule, *lines[1:]])


def reasons(samples, figures, ways):
    """Why a cell holds ✘, and what else was seen; the same reason for several figures stands once."""
    titles = {w.key: w.title for w in ways}
    grouped = {}
    for (figure, mode, way), reason in samples.problems.items():
        grouped.setdefault((way, reason), []).append(figure)
    for (way, reason), where in grouped.items():
        names = list(dict.fromkeys(where))
        everywhere = len(names) == len(figures)
        yield f"✘ {titles[way]}{'' if everywhere else ' (' + ', '.join(names) + ')'}: {reason}"
    for (figure, mode, way), notes in samples.notes.items():
        if figure != "direct":
            yield f"  {figure}, {mode}, {titles[way]}: {'; '.join(notes.values())}"
