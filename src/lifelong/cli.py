"""The command line: a thin table of commands. What needs torch is imported inside a command, so that --help answers at once."""

import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console

from lifelong import errors

if TYPE_CHECKING:
    from lifelong.experiment import Experiment
    from lifelong.processes import Processes

app = App(name="lifelong", help="One network, task after task, without forgetting.", version_flags=["--version"], help_format="plaintext")
data = App(name="data", help="The data sets that streams are made of.")
app.command(data)


@app.command
def run(
    recipe: str,
    *,
    methods: str | None = None,
    seeds: str | None = None,
    tasks: int | None = None,
    out: Path | None = None,
    workers: int | None = None,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative="", allow_leading_hyphen=True)] = None,
    fresh: Annotated[bool, Parameter(negative="")] = False,
    check: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Train every method of a recipe on its stream with several seeds; the same command again goes on where it was.

    Args:
        recipe: A name that `lifelong list recipes` prints, or the path of a TOML file.
        methods: Only these methods of the recipe, as in ewc,gem.
        seeds: How many seeds (5 is 0 to 4), or which, as in 0,3.
        tasks: Only the first tasks of the stream.
        out: The folder for results and page; runs/RECIPE when not given.
        workers: Processes at once; as many as there are cores, at most 8, when not given.
        set_: A setting of the recipe, as in methods.ewc.strength=10; can be given several times.
        fresh: Start over: delete the folder's earlier runs.
        check: Exit with 1 unless every number is within the recipe's tolerance of the published one.
    """
    from lifelong import experiment as experiments
    from lifelong import recipe as recipes
    from lifelong.processes import joined
    from lifelong.watch import Watch

    for name, value in (("tasks", tasks), ("workers", workers)):
        if value is not None and value < 1:
            raise errors.RecipeError(f"--{name} {value}: expected 1 or more")
    chosen = recipes.load(recipe, [*(set_ or []), *([] if seeds is None else [f"seeds={_seeds(seeds)}"])])
    if methods is not None:
        chosen = recipes.only(chosen, [label.strip() for label in methods.split(",")])
    if tasks is not None:
        # The published numbers are for the whole stream.
        chosen = chosen.model_copy(update={"published": []})
    if check and not chosen.published:
        raise errors.RecipeError(f"--check: {_no_published(recipe, tasks, methods)}")
    folder = Path("runs") / chosen.name if out is None else out
    folder = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    experiment = experiments.Experiment(chosen, folder, tasks)
    signal.signal(signal.SIGTERM, _interrupt)
    with joined() as processes:
        if not processes.alone:
            results = _run_together(experiment, processes, fresh)
            return _shown(results, folder, check) if processes.writes else 0
    try:
        waiting = len(experiment.runs if fresh else experiment.waiting())
        if waiting < len(experiment.runs):
            print(f"{len(experiment.runs) - waiting} of {len(experiment.runs)} runs are finished already", file=sys.stderr)
        with Watch(Console(stderr=True), waiting) as watch:
            results = experiment.run(workers=workers, fresh=fresh, tell=watch.tell)
    except KeyboardInterrupt:
        print(f"\nStopped; everything is saved in {folder}. The same command goes on from there: {' '.join(_again())}", file=sys.stderr)
        return 130
    return _shown(results, folder, check)


def _run_together(experiment: "Experiment", processes: "Processes", fresh: bool) -> dict[str, Any]:
    """The recipe's runs, each trained by all the processes that torchrun started; the first one shows how it goes."""
    from lifelong.watch import Watch

    if not processes.writes:
        return experiment.run_together(processes, fresh=fresh)
    with Watch(Console(stderr=True), len(experiment.runs if fresh else experiment.waiting())) as watch:
        return experiment.run_together(processes, fresh=fresh, tell=watch.tell)


def _shown(results: dict[str, Any], folder: Path, check: bool) -> int:
    """Writes the page, prints the table, and gives the exit code."""
    from lifelong.report import print_check, print_summary, write_page

    page = folder / "report.html"
    write_page(results, page)
    print_summary(results, Console())
    print(f"\nResults: {folder / 'results.json'}\nPage:    {page}")
    failed = [run for run in results["runs"] if run["status"] == "failed"]
    for failure in failed:
        print(f"failed: {failure['method']}, seed {failure['seed']}: {failure['error']}", file=sys.stderr)
    passed = not check or print_check(results, Console())
    return 1 if failed or not passed else 0


@app.command
def lecture(
    *sections: str,
    full: Annotated[bool, Parameter(negative="")] = False,
    out: Path | None = None,
    workers: int | None = None,
    fresh: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Run every demonstration of the lecture "Life Long Learning" and write one page; the same command again goes on where it was.

    Args:
        sections: Only these, as in two-tasks; all when none is given.
        full: Full data and longer training, hours instead of minutes.
        out: The folder for results and page; runs/lecture or runs/lecture-full when not given.
        workers: Processes at once; as many as there are cores, at most 8, when not given.
        fresh: Start over: delete what these sections measured earlier.
    """
    from lifelong.lecture.run import run as run_lecture

    if workers is not None and workers < 1:
        raise errors.RecipeError(f"--workers {workers}: expected 1 or more")
    signal.signal(signal.SIGTERM, _interrupt)
    folder = out or Path("runs") / ("lecture-full" if full else "lecture")
    return run_lecture(sections, folder, full=full, workers=workers, fresh=fresh, again=" ".join(_again()))


@app.command(name="list")
def list_(what: Literal["recipes", "methods", "streams", "data"]) -> None:
    """What there is, one line each.

    Args:
        what: recipes, methods, streams or data.
    """
    listed = _listed(what)
    width = max(20, *map(len, listed))
    for name, line in listed.items():
        print(f"{name:<{width}} {line}")


@app.command
def report(folder: Path) -> None:
    """Make the page again, from results.json.

    Args:
        folder: Where `lifelong run` wrote to, as in runs/demo.
    """
    from lifelong.report import print_summary, write_page
    from lifelong.results import read_results

    results = read_results(folder)
    write_page(results, folder / "report.html")
    print_summary(results, Console())
    print(f"\nPage: {folder / 'report.html'}")


@data.command
def get(name: str) -> None:
    """Download a data set, check it, and say where it is; an interrupted download is continued.

    Args:
        name: A name that `lifelong list data` prints.
    """
    from lifelong.data import get as download

    print(download(name))


def main() -> NoReturn:
    """The command `lifelong`: an error of the user's is one message and exit code 2, without a traceback."""
    try:
        sys.exit(app(sys.argv[1:], print_error=False, exit_on_error=False))
    except CycloptsError as error:
        print(f"lifelong: {str(error).rstrip('.')}. See lifelong --help", file=sys.stderr)
        sys.exit(2)
    except (ValueError, RuntimeError) as error:
        if not type(error).__module__.startswith("lifelong."):
            raise
        print(f"lifelong: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _seeds(text: str) -> str:
    """--seeds as a TOML value."""
    numbers = [number.strip() for number in text.split(",") if number.strip()]
    if not numbers or not all(number.isdecimal() for number in numbers):
        raise errors.RecipeError(f"--seeds {text!r}: expected a number of seeds, as in 5, or the seeds, as in 0,3")
    return numbers[0] if "," not in text else f"[{', '.join(numbers)}]"


def _no_published(recipe: str, tasks: int | None, methods: str | None) -> str:
    """Why there is nothing to check."""
    if tasks is not None:
        return f"published numbers are for the whole stream; leave out --tasks {tasks}"
    if methods is not None:
        return f"recipe {recipe!r} has no published numbers of {methods}; leave out --methods, or name others"
    return f"recipe {recipe!r} has no published numbers; run it without --check, or add them to it as [[published]]"


def _again() -> list[str]:
    """The command that goes on where this one stops."""
    return ["lifelong", *(argument for argument in sys.argv[1:] if argument != "--fresh")]


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _listed(what: str) -> dict[str, str]:
    if what == "recipes":
        from lifelong import recipe

        return {name: recipe.load(name).description for name in recipe.names()}
    if what == "data":
        from lifelong.data import DATA

        return DATA
    from lifelong.methods import METHODS
    from lifelong.streams import STREAMS

    table: dict[str, Any] = {**(METHODS if what == "methods" else STREAMS)}
    return {name: _first_line(made) for name, made in table.items()}


def _first_line(documented: Callable[..., object]) -> str:
    lines: Iterable[str] = (documented.__doc__ or "").strip().splitlines()
    return next(iter(lines), "")
