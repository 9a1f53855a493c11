"""The same work on many items, in threads (Pillow decodes without holding Python's lock), with a progress bar."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

WINDOW, _TASK = 512, 16
"""Items under way at once, which bounds memory, and in one task, which spreads the cost of handing it to a thread."""
Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(
    work: Callable[[Item], Result], items: Sequence[Item], doing: str, window: int = WINDOW
) -> Iterator[Result]:
    """Results of `work` in the order of `items`.

    Args:
        doing: says on the progress bar what it is.
        window: items under way at once; fewer where a result is large.
    """
    threads = min(8, os.cpu_count() or 1)
    length = min(_TASK, max(1, window // threads))
    tasks = [items[i : i + length] for i in range(0, len(items), length)]
    step = max(1, window // length)
    with ThreadPoolExecutor(threads) as pool, _progress(doing, len(items)) as advance:
        for start in range(0, len(tasks), step):
            for results in pool.map(lambda task: [work(item) for item in task], tasks[start : start + step]):
                yield from results
                advance(len(results))


@contextmanager
def _progress(doing: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr if somebody is looking at it."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(doing, total=total)
        yield lambda count: bar.advance(task, count)
