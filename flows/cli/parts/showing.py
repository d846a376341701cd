"""Showing a run: progress bars on a terminal, plain lines otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


class RunView:
    """Hears about a run and shows it."""

    def __init__(self, console: Console) -> None:
        self.console, self.seconds = console, 0.0
        self.ran: set[tuple[str, str]] = set()
        self.seen: set[tuple[str, str]] = set()
        self.bars: Progress | None = None
        self._task: TaskID | None = None

    def started(self, tile: str, node: str) -> None:
        """A new bar, or nothing on a pipe."""
        if self.bars is not None:
            if self._task is not None:
                self.bars.remove_task(self._task)
            self._task = self.bars.add_task(f"{tile}  {node}", total=None)

    def advanced(self, done: int, total: int) -> None:
        """Move the bar."""
        if self.bars is not None and self._task is not None:
            self.bars.update(self._task, completed=done, total=total)

    def steps_of(self, name: str) -> Callable[[str, int, int], None]:
        """What a work tells of its steps, (step, done, in all): a bar for each."""
        step = ""

        def tell(what: str, done: int, total: int) -> None:
            nonlocal step
            if what != step:
                self.started(name, what)
                step = what
            self.advanced(done, total)

        return tell

    def finished(self, tile: str, node: str, ran: bool, seconds: float, note: str) -> None:
        """One line for what ran; what was up to date is only counted."""
        self.seen.add((tile, node))
        if ran:
            self.ran.add((tile, node))
        self.seconds += seconds
        if ran:
            self.console.print(f"{tile}  {node:<24} {seconds:8.1f} s  {note}".rstrip(), markup=False)

    def summary(self) -> None:
        """One line at the end."""
        self.console.print(f"{len(self.ran)} ran in {self.seconds:.1f} s, {len(self.seen - self.ran)} up to date", markup=False)


@contextmanager
def run_view(console: Console) -> Iterator[RunView]:
    """A view that shows bars while the block runs, if the console is a terminal."""
    view = RunView(console)
    if not console.is_terminal:
        yield view
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as view.bars:
        yield view
    view.bars = None
