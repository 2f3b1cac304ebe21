"""Results as tables in a terminal; plain aligned text where there is none."""

from collections.abc import Callable, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lifelong.report import units
from lifelong.report.digest import WAYS, MethodDigest, Results, digest, sampled_in_words
from lifelong.report.published import COLUMNS, cells, counts, passes, published_rows

Column = tuple[str, Callable[[MethodDigest], str]]
ASCII = str.maketrans({"±": "+", "–": "-", "−": "-", "†": "*", "…": "~", "≥": ">", "≤": "<"})


def print_summary(results: Results, console: Console) -> None:
    """Print every method's scores and costs, the published numbers beside ours, and the runs that failed or have not finished."""
    methods = digest(results)
    scores: list[Column] = [
        ("method", lambda method: f"{method.name} †" if method.baseline else method.name),
        *((label, _score(measure)) for label, measure in _SCORES),
    ]
    for way in reversed(WAYS):
        if any(way in method.asked for method in methods):
            scores.insert(2, (WAYS[way][0], _asked(way)))
    costs: list[Column] = [(label, _cost(cost, show)) for label, cost, show in _COSTS]
    if methods:
        together = _cells([*scores, *costs], methods)
        if not console.is_terminal or _width(together) <= console.width:
            _print(console, together)
        else:
            _print_in_parts(console, scores[0], scores[1:], methods)
            _print_in_parts(console, scores[0], costs, methods)
        notes = "Scores in %, mean ± standard deviation over seeds. " + ("† baseline. " if any(m.baseline for m in methods) else "")
        _say(console, f"{notes}Data: {results['stream']['data']}. {sampled_in_words(methods)}".rstrip(), style="dim")
    _print_published(results, console)
    for method in methods:
        for run in method.failed:
            _say(console, f"failed: {method.name}, seed {run['seed']}: {run['error']}", style="bold red")
        for run in method.running:
            _say(console, f"not finished: {method.name}, seed {run['seed']}", style="yellow")


def print_check(results: Results, console: Console) -> bool:
    """Print in one line how many of our numbers are within what the recipe expects; whether all are, and all their runs have finished."""
    rows = published_rows(results)
    unfinished = {row.method: row.unfinished for row in rows if row.unfinished}
    late = "".join(f"; {method}: {number} run{'s' if number > 1 else ''} not finished" for method, number in unfinished.items())
    passed = passes(rows)
    _say(console, f"Check {'passed' if passed else 'failed'}: {counts(rows)}{late}", style="bold green" if passed else "bold red")
    return passed


_SCORES = (
    ("accuracy", "accuracy"),
    ("backward", "backward_transfer"),
    ("forward", "forward_transfer"),
    ("forgetting", "forgetting"),
)
_COSTS = (
    ("time", "train_seconds", units.seconds),
    ("peak memory", "peak_memory_bytes", units.size),
    ("kept", "kept_bytes", units.size),
    ("parameters", "parameters", units.count),
)


def _score(measure: str) -> Callable[[MethodDigest], str]:
    return lambda method: units.percent_with_spread(method.measures[measure].mean, method.measures[measure].spread)


def _asked(way: str) -> Callable[[MethodDigest], str]:
    return lambda method: units.percent_with_spread(method.accuracy(way).mean, method.accuracy(way).spread)


def _cost(cost: str, show: Callable[[float], str]) -> Callable[[MethodDigest], str]:
    return lambda method: show(method.costs[cost].mean)


def _cells(columns: Sequence[Column], methods: Sequence[MethodDigest]) -> list[list[str]]:
    return [[name for name, _ in columns], *([show(method) for _, show in columns] for method in methods)]


def _widths(cells: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(cell_len, column)) for column in zip(*cells, strict=True)]


def _width(cells: Sequence[Sequence[str]]) -> int:
    return sum(_widths(cells)) + 3 * len(cells[0]) - 1


def _plain(words: str, console: Console) -> Text:
    """Text without markup: names and errors are the user's and may hold square brackets."""
    return Text(words if console.encoding.startswith("utf") else words.translate(ASCII).encode("ascii", "replace").decode())


def _say(console: Console, words: str, style: str) -> None:
    text = _plain(words, console)
    text.stylize(style)
    console.print(text, soft_wrap=not console.is_terminal)


def _print(console: Console, cells: Sequence[Sequence[str]]) -> None:
    """The first row is the head, the first column is aligned left, the others right."""
    if not console.is_terminal:  # a file or a pipe has no width: never cut or wrap there
        for row in cells:
            padded = [" " * (width - cell_len(cell)) + cell for cell, width in zip(row[1:], _widths(cells)[1:], strict=True)]
            first = row[0] + " " * (_widths(cells)[0] - cell_len(row[0]))
            console.print(_plain("  ".join([first, *padded]), console), soft_wrap=True)
        return
    table = Table(box=box.SIMPLE_HEAD)
    for position, name in enumerate(cells[0]):
        table.add_column(_plain(name, console), justify="right" if position else "left", no_wrap=True)
    for row in cells[1:]:
        table.add_row(*(_plain(cell, console) for cell in row))
    console.print(table)


def _print_in_parts(console: Console, first: Column, columns: Sequence[Column], methods: Sequence[MethodDigest]) -> None:
    """As many tables as the terminal's width asks for, each with the first column."""
    while columns:
        fitting = [k for k in range(2, len(columns) + 1) if _width(_cells([first, *columns[:k]], methods)) <= console.width]
        shown = max(fitting, default=1)
        _print(console, _cells([first, *columns[:shown]], methods))
        columns = columns[shown:]


def _print_published(results: Results, console: Console) -> None:
    rows = published_rows(results)
    if not rows:
        return
    table = [["method", "measure", *COLUMNS], *([row.method, row.label, *cells(row)] for row in rows)]
    if not console.is_terminal or _width(table) <= console.width:
        _print(console, table)
    else:
        for method, label, *shown in table[1:]:
            _say(console, f"{method}, {label}: {', '.join(f'{name} {cell}' for name, cell in zip(COLUMNS, shown, strict=True))}", style="")
    for source in dict.fromkeys(row.source for row in rows):
        _say(console, f"Published: {source}", style="dim")
