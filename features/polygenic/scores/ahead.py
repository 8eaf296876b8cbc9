"""The scoring files of a run, read ahead on several threads while other files are read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from features.polygenic.columns import Alleles
from features.polygenic.scores.catalog import CatalogueFile, parse, read_scores
from features.polygenic.scores.last_read import LastText
from features.polygenic.scores.score import ScoreRows
from features.polygenic.scores.table import ScoreTable

Job = TypeVar("Job")
Done = TypeVar("Done")


class ScoreFiles:
    """The scoring files of a run in their order, of which few wait in memory.

    Reading starts at once; tables stay open until the end.
    """

    def __init__(self, paths: Sequence[Path], alleles: Alleles, *, threads: int) -> None:
        self._paths = paths
        self._alleles = alleles
        self._threads = threads
        self._tables: list[ScoreTable] = []
        self._pool = ThreadPoolExecutor(threads)
        parse_next = partial(self._parse, last=LastText())  # whose text is let go of after the last file
        self._parsed = InOrder(self._pool, parse_next, jobs=paths, ahead=threads)

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[CatalogueFile | ScoreTable]:
        return self._parsed

    def rows(self, *, build: str | None) -> Iterator[ScoreRows]:
        """Yield the rows of every score, before anything else is asked.

        Files that do not all wait in memory are read twice.
        """
        if len(self._parsed.waiting) == len(self._paths):
            for waiting in self._parsed.waiting:
                parsed = waiting.result()
                if isinstance(parsed, ScoreTable):
                    yield parsed.rows
                else:
                    yield from (score.rows for score in parsed.scores(self._alleles, build=build))
        else:
            for path in self._paths:
                yield from (score.rows for score in read_scores(path, self._alleles, build=build))

    def close(self) -> None:
        """Close the files."""
        self._pool.shutdown(cancel_futures=True)
        for table in self._tables:
            table.close()

    def _parse(self, path: Path, *, last: LastText) -> CatalogueFile | ScoreTable:
        parsed = parse(path, self._alleles, threads=self._threads, last=last)
        if isinstance(parsed, ScoreTable):
            self._tables.append(parsed)
        return parsed


class InOrder(Iterator[Done]):
    """Runs jobs on several threads and gives their results in the order of the jobs, with few results waiting in
    memory.
    """

    def __init__(
        self, pool: ThreadPoolExecutor, work: Callable[[Job], Done], *, jobs: Iterable[Job], ahead: int
    ) -> None:
        left = iter(jobs)
        self._more = (pool.submit(work, job) for job in left)
        self.waiting: deque[Future[Done]] = deque(islice(self._more, ahead))

    def __next__(self) -> Done:
        if not self.waiting:
            raise StopIteration
        done = self.waiting.popleft().result()
        self.waiting.extend(islice(self._more, 1))
        return done


class Aside:
    """Runs jobs on a thread of its own, one after the other, with few of them waiting."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._waiting: deque[Future[None]] = deque()

    def add(self, work: Callable[[], None]) -> None:
        """Add a job. Raises the error of an earlier job, if there was one."""
        if len(self._waiting) > 1:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(work))

    def finish(self) -> None:
        """Wait until all jobs are done. Raises the error of a job, if there was one."""
        while self._waiting:
            self._waiting.popleft().result()

    def close(self) -> None:
        """Drop the jobs that have not begun."""
        self._pool.shutdown(cancel_futures=True)
