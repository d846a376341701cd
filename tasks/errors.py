"""The two kinds of failure that a person is told about in one line.

`InputError`: the request or the input is wrong (exit code 2). `WorkError`: work failed (exit code 1). Anything else that
escapes is a defect of this software.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imperv.tasks.addresses import shown


class ImpervError(Exception):
    """Base of the failures that are reported without a traceback; addresses in their text have lost user and query."""

    def __init__(self, *words: str) -> None:
        super().__init__(*map(shown, words))


class InputError(ImpervError):
    """The request or an input is wrong: names the file, layer or tile, and the remedy."""


class ItemError(InputError):
    """What one item of a catalogue says cannot be used: the item is left out and named."""


class WorkError(ImpervError):
    """Work on correct input failed, such as a full disk or too many unreadable scenes."""


class TileBusyError(WorkError):
    """Another process works on the tile, or took it over from this one."""


class SceneError(WorkError):
    """One scene cannot be read."""

    def __init__(self, scene: str, reason: str) -> None:
        super().__init__(scene, reason)
        self.scene, self.reason = self.args

    def __str__(self) -> str:
        return f"scene {self.scene}: {self.reason}"


def disk_trouble(error: OSError, path: str) -> ImpervError:
    """What a person should read when writing fails."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return WorkError(f"{path}: no room left on the disk of the store; free space and run again, nothing is lost")
    if isinstance(error, PermissionError) and error.errno is None:  # as s3fs says it
        return InputError(f"store: {path} cannot be written ({' '.join(str(error).split())}); correct the keys or store_options")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EEXIST):
        return InputError(
            f"store: {error.filename or path} cannot be written ({error.strerror or error}); name a folder of yours"
        )
    return WorkError(f"{path}: cannot be written ({error.strerror or error})")


@contextmanager
def writing(path: Path, option: str = "") -> Iterator[None]:
    """Write a file that a person has named, with `option` on the command line; InputError if that fails."""
    try:
        yield
    except OSError as error:
        named = f"{option}: {path}" if option else str(path)
        raise InputError(f"{named} cannot be written ({error.strerror}); name a file in a folder of yours") from None


def folder_trouble(path: Path) -> str:
    """What keeps a path from being a folder, or from being made one; "" if nothing does."""
    if path.exists():
        return "" if path.is_dir() else f"{path} is a file; name a folder"
    link = next((p for p in (path, *path.parents) if p.is_symlink() and not p.exists()), None)
    return f"{link} is a link to {link.readlink()}, which is not there; make that or correct the link" if link else ""
