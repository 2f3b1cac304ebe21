"""The part of docs/speed.md on a thousand tasks."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import thousand
from speed_tables import NOT_MEASURED, Content, Entries, Lines, card, cell, milli, table, times

from lifelong.report import svg
from lifelong.report.units import UNDEFINED, count, percent, size

LOOKS = ("10", "100", "1000")  # tasks after which `thousand.py` looks
SHOWN = [f"{int(look):,}" for look in LOOKS]


def thousand_tables(content: Content) -> Lines:
    """Seconds, resident memory, and what is kept with what is known."""
    settings, entries = content["settings"], content["entries"]
    network = "-".join(map(str, [784, *settings["hidden"], 10]))
    yield f"Network {network}, {settings['examples']} examples a task, {settings['batch']} a step."
    yield ""
    looks = {name: [entries.get(name, {}).get(look) for look in LOOKS] for name in thousand.METHODS}
    after = [f"after {look}" for look in SHOWN]
    taken = ([name, *(cell(each, "seconds", milli) for each in found), growth(found, "seconds", 0)] for name, found in looks.items())
    yield from table(["method", f"ms a task {after[0]} tasks", *after[1:], f"{SHOWN[-1]} ÷ {SHOWN[0]}"], taken)
    resident = ([name, *(cell(each, "resident", size) for each in found), growth(found, "resident", 1)] for name, found in looks.items())
    yield from table(["method", f"resident memory {after[0]} tasks", *after[1:], f"{SHOWN[-1]} ÷ {SHOWN[1]}"], resident)
    kept = ([name, *(cell(each, "kept", size) for each in found), *map(known, found)] for name, found in looks.items())
    yield from table(["method", f"kept {after[0]} tasks", *after[1:], f"accuracy in % {after[0]} tasks", *after[1:]], kept)
    if any(entry for found in looks.values() for entry in found):
        yield from (f"![{growth_in_words(entries)}](speed/thousand.svg)", "")


def growth(found: Sequence[Mapping[str, float] | None], field: str, earlier: int) -> str:
    """The last look's number by an earlier one's."""
    before, last = found[earlier], found[-1]
    return NOT_MEASURED if before is None or last is None else times(last[field] / before[field])


def known(entry: Mapping[str, float] | None) -> str:
    return NOT_MEASURED if entry is None else f"{percent(entry['accuracy'])} ({count(entry['of'])})"


def growth_in_words(entries: Entries) -> str:
    """The picture's main numbers."""
    whole = {name: [entry[look] for look in LOOKS] for name, entry in entries.items() if entry.keys() >= set(LOOKS)}
    if not whole:
        return f"Seconds of a task and resident memory; after {SHOWN[-1]} tasks {NOT_MEASURED}"
    (slower, slowest), (larger, largest) = (
        max((found[-1][panel.field] / found[panel.earlier][panel.field], name) for name, found in whole.items()) for panel in PANELS
    )
    return (
        f"Of {len(whole)} methods, a task after {SHOWN[-1]} takes at most {times(slower)} times the seconds of one after {SHOWN[0]} "
        f"({slowest}), and resident memory is at most {times(larger)} times that after {SHOWN[1]} ({largest})"
    )


class Panel(NamedTuple):
    """A part of the picture: an entry's field, its unit and how many of them are in one of the field's, and what growth begins at."""

    field: str
    unit: str
    factor: float
    earlier: int


PANELS = (Panel("seconds", "ms a task", 1e3, 0), Panel("resident", "MB of resident memory", 1e-6, 1))
LEFT, WIDE, GAP, TOP, PITCH = 96.0, 250.0, 90.0, 64.0, 26.0  # of the picture; WIDE and GAP are a panel's
STYLES = [(6.5, svg.scale_colour(0.3)), (4.5, svg.scale_colour(0.65)), (2.6, svg.scale_colour(1.0))]


def growth_picture(entries: Entries) -> str:
    """A row for each method: three points for seconds a task, three for memory. Where nothing grows they lie on each other."""
    looks = {name: [entries[name].get(look) for look in LOOKS] for name in thousand.METHODS if name in entries}
    title = f"What a task costs after {SHOWN[0]}, {SHOWN[1]} and {SHOWN[2]} tasks"
    drawn = [svg.text(12, 22, title, font_size=14.0, font_weight=600)]
    for position, (look, (radius, colour)) in enumerate(zip(SHOWN, STYLES, strict=True)):
        drawn.append(svg.marker("circle", LEFT + 8 + 110 * position, 40, radius, fill=colour))
        drawn.append(svg.text(LEFT + 20 + 110 * position, 44, f"{look} tasks"))
    drawn += [svg.text(LEFT - 12, TOP + (row + 0.5) * PITCH + 4, name, anchor="end") for row, name in enumerate(looks)]
    said = []
    for position, panel in enumerate(PANELS):
        drawn += drawn_panel(panel, LEFT + position * (WIDE + GAP), list(looks.values()))
        for name, found in looks.items():
            shown = ", ".join(UNDEFINED if entry is None else f"{panel.factor * entry[panel.field]:.1f}" for entry in found)
            said.append(f"{name}, {panel.unit}: {shown}")
    return card(LEFT + 2 * (WIDE + GAP), TOP + PITCH * len(looks) + 44, title, f"{'; '.join(said)}.", drawn)


def drawn_panel(panel: Panel, start: float, rows: Sequence[Sequence[Mapping[str, float] | None]]) -> Iterator[str]:
    bottom = TOP + PITCH * len(rows)
    most = 1.05 * max(entry[panel.field] for found in rows for entry in found if entry is not None)
    for tick in svg.ticks(0, panel.factor * most, 5):
        x = start + tick / (panel.factor * most) * WIDE
        yield svg.line(x, TOP, x, bottom, stroke=svg.GRID)
        yield svg.text(x, bottom + 16, f"{tick:g}", anchor="middle", fill=svg.QUIET)
    yield svg.text(start + WIDE / 2, bottom + 34, panel.unit, anchor="middle", fill=svg.QUIET)
    yield svg.text(start + WIDE + 8, TOP - 4, f"{SHOWN[-1]} ÷ {SHOWN[panel.earlier]}", fill=svg.QUIET, font_size=11)
    for row, found in enumerate(rows):
        y = TOP + (row + 0.5) * PITCH
        for entry, (radius, colour) in zip(found, STYLES, strict=True):
            if entry is not None:
                yield svg.marker("circle", start + entry[panel.field] / most * WIDE, y, radius, fill=colour)
        if found[-1] is not None:
            yield svg.text(start + WIDE + 8, y + 4, growth(found, panel.field, panel.earlier))
