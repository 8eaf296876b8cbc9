"""Files that come with Presage and are called by name: studies, answers of model cards, policies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from features.errors import PresageError, meant

WAY_OUT = "choose from what ships: presage studies"


@dataclass(frozen=True, slots=True)
class Shipped:
    """The shipped files of one kind: `NAME.toml` in `folder` is called NAME.

    kind: the word for one such file. own_name: what the file is called in a folder that holds one study and all that
    belongs to it, as `presage init` writes such a folder.
    """

    kind: str
    folder: Path
    own_name: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names that ship, in alphabetical order."""
        return tuple(sorted(path.stem for path in self.folder.glob("*.toml")))

    def named(self, name: str) -> Path:
        """The shipped file of this name, whatever lies in the working directory.

        Raises PresageError, which lists the names that ship, where none is called so.
        """
        if name not in self.names:
            raise PresageError(
                name,
                f"the name of a shipped {self.kind} among {', '.join(self.names)}",
                found="none of that name",
                way_out=meant(name, self.names),
            )
        return self.folder / f"{name}.toml"

    def find(self, target: str | Path) -> Path:
        """The file that a user means: a path that exists, else the shipped file of that name.

        A folder means the file of this kind inside it. So, where `presage init chd-10y` wrote a folder `chd-10y`, the
        name `chd-10y` means the copy. Raises PresageError where a folder holds no such file, and where neither a path
        nor a shipped file is called so; the error lists the names that ship.
        """
        path, own = Path(target), Path(target) / self.own_name
        if path.is_dir():
            if not own.is_file():
                raise PresageError(
                    str(target),
                    f"a {self.kind} file, or a folder with {self.own_name} in it",
                    found="a folder without",
                    way_out=f"name the {self.kind} file itself",
                )
            return own
        if path.exists():
            return path
        if str(target) not in self.names:
            raise PresageError(
                str(target),
                f"a {self.kind} file, or the name of a shipped {self.kind} among {', '.join(self.names)}",
                found="neither",
                way_out=meant(str(target), self.names) or WAY_OUT,
            )
        return self.named(str(target))
