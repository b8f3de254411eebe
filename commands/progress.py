"""Progress bars on standard error, for commands that take long. rich is imported here and nowhere else but in `serve`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


@contextmanager
def fetching(name: str, *, quiet: bool = False) -> Iterator[Callable[[str, float], None]]:
    """A bar for the download of a program.

    Args:
        name: the program's name; what is being done is shown after it.
        quiet: show nothing.

    Yields:
        A function that takes what is being done and which part of all is done, from 0 to 1.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as progress:
        task = progress.add_task(name, total=1.0, visible=False)

        def tell(what: str, part: float) -> None:
            progress.update(task, description=f"{name}: {what}", completed=part, visible=True)

        yield tell


@contextmanager
def counting(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar for a number of things, shown on a terminal only.

    Args:
        name: shown before the bar.
        total: the number of things.

    Yields:
        A function that takes how many more of them are done.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=total)
        yield lambda more: progress.advance(task, more)
