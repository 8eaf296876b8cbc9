"""How a result looks in a notebook: what the command line prints, as HTML; and short sentences for `repr`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 110
STYLE = "font-family:Menlo,'DejaVu Sans Mono',Consolas,monospace;line-height:normal;overflow-x:auto"


class Shown:
    """A result with a `__rich_console__`: notebooks show the same, and its `repr` is the first line of it."""

    __slots__ = ()

    def __repr__(self) -> str:
        """One line, whatever the result holds."""
        first = next((line for line in text_of(self).splitlines() if line.strip(" ─╭╮│╰╯")), "")
        return f"<{type(self).__name__}: {' '.join(first.strip('─╭╮│╰╯ ').split())}>"

    def _repr_html_(self) -> str:
        return html_of(self)


def text_of(result: Any) -> str:
    """What the command line prints, without colours."""
    return _recorded(result).export_text()


def html_of(result: Any) -> str:
    """What the command line prints, as HTML that stands alone."""
    code = f'<pre style="{STYLE}">{{code}}</pre>'
    return _recorded(result).export_html(inline_styles=True, code_format=code)


def _recorded(result: Any) -> Console:
    from io import StringIO

    from rich.console import Console

    console = Console(
        record=True, file=StringIO(), width=WIDTH, color_system="truecolor", markup=False, force_jupyter=False
    )
    console.print(result)
    return console
