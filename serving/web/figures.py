"""Small figures as SVG paths, drawn on the server: the page's security policy allows no inline style or script."""

from __future__ import annotations

from functools import lru_cache

from markupsafe import Markup


@lru_cache(maxsize=512)
def hundred_people(out_of_100: int, *, columns: int = 20, cell: int = 6, gap: int = 2) -> Markup:
    """A hundred people as squares, the first `out_of_100` of them filled: the risk as a frequency."""
    step, rows = cell + gap, 100 // columns
    width, height = columns * step - gap, rows * step - gap
    filled = "".join(_square(at, columns, step=step, cell=cell) for at in range(out_of_100))
    empty = "".join(_square(at, columns, step=step, cell=cell) for at in range(out_of_100, 100))
    return Markup(  # numbers only: nothing of it comes from a person or a file
        f'<svg class="hundred" viewBox="0 0 {width} {height}" width="{width}" height="{height}" aria-hidden="true">'
        f'<path class="hundred-empty" d="{empty}"/><path class="hundred-filled" d="{filled}"/></svg>'
    )


def _square(at: int, columns: int, *, step: int, cell: int) -> str:
    row, column = divmod(at, columns)
    return f"M{column * step} {row * step}h{cell}v{cell}h-{cell}z"


def share_bar(share: float, *, width: int = 96) -> Markup:
    """A signed share from -1 to 1 as a bar that starts in the middle."""
    middle = width / 2
    length = min(abs(share), 1.0) * middle
    start = middle if share >= 0 else middle - length
    side = "raises" if share >= 0 else "lowers"
    return Markup(
        f'<svg class="share" viewBox="0 0 {width} 8" width="{width}" height="8" aria-hidden="true">'
        f'<rect class="share-track" width="{width}" height="8" rx="4"/>'
        f'<rect class="share-{side}" x="{start:.1f}" width="{length:.1f}" height="8" rx="2"/></svg>'
    )
