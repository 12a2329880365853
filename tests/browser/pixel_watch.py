"""A watch over everything that processes write: is there a picture anywhere?

Linux's inotify names every file that is created, changed or renamed under the watched folders, also those that are
deleted at once or never had a name (`O_TMPFILE`). Each must be one that is known by its place, and what is in it must
hold no picture; what is known nowhere is found whatever is in it, so that pixels which no signature gives away, and
files that were gone before anybody could look, are found as well. Files that the processes hold open for writing
outside of these folders are found by looking at `/proc`.
"""

from __future__ import annotations

import ctypes
import os
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from tests.browser.image_signatures import found_in

IN_MODIFY, IN_CLOSE_WRITE, IN_MOVED_TO, IN_CREATE = 0x2, 0x8, 0x80, 0x100
IN_Q_OVERFLOW, IN_ISDIR, IN_CLOEXEC, IN_NONBLOCK = 0x4000, 0x40000000, 0o2000000, 0o4000
WATCHED = IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE
EVENT = struct.Struct("iIII")
"""`struct inotify_event`: watch, mask, cookie, length of the name that follows."""
READ_BYTES = 1 << 16
LOOK_SECONDS = 0.1
"""Between two looks at what the processes hold open."""
NO_FILES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random", "/dev/tty")

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class PixelWatch:
    """What was written while it lasted.

    Attributes:
        known: pattern of a path below a watched folder (`db.sqlite3*`) → why it is written.
    """

    known: Mapping[str, str]
    written: dict[Path, str] = field(default_factory=dict)
    """Every file that was written → its path below the watched folder."""
    elsewhere: set[str] = field(default_factory=set)
    """Files open for writing that are in no watched folder."""
    missed: bool = False
    """The kernel had more to tell than it keeps."""
    catch_up: Callable[[], None] = lambda: None
    """Takes down what has happened until now."""

    def findings(self) -> list[str]:
        """Everything that should not be, a line each."""
        self.catch_up()
        found = ["the watch lost count of what was written"] if self.missed else []
        found += [f"{path} was written, outside of every watched folder" for path in sorted(self.elsewhere)]
        for path, place in sorted(self.written.items()):
            if not any(fnmatchcase(place, pattern) for pattern in self.known):
                found.append(f"{place} was written, and nobody knows it")
            with suppress(OSError):
                found += [f"{place} holds a {kind}" for kind in found_in(path.read_bytes())]
        return found


@contextmanager
def watching(
    folders: Iterable[Path], known: Mapping[str, str], processes: Callable[[], Iterable[int]] = tuple
) -> Iterator[PixelWatch]:
    """Watch `folders`, and what is made in them, until the block ends.

    Args:
        known: as in PixelWatch.
        processes: the ids of the processes that are watched, at any moment.
    """
    watch, roots, done = PixelWatch(known), [folder.resolve() for folder in folders], threading.Event()
    with _Notifications(roots, watch) as notifications:
        watch.catch_up = notifications.read

        def follow() -> None:
            while not done.wait(LOOK_SECONDS):
                notifications.read()
                for process in processes():
                    watch.elsewhere.update(_open_elsewhere(process, roots))

        follower = threading.Thread(target=follow)
        follower.start()
        try:
            yield watch
        finally:
            done.set()
            follower.join()
            notifications.read()
            watch.catch_up = lambda: None


def family(leader: int) -> list[int]:
    """The processes of the session that `leader` leads."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            # After the name, which may hold anything: state, parent, group, session.
            if int(stat.read_text().rpartition(")")[2].split()[3]) == leader:
                members.append(int(stat.parent.name))
    return members


class _Notifications:
    """inotify, for folders and all folders in them."""

    def __init__(self, roots: list[Path], watch: PixelWatch) -> None:
        self._roots = roots
        self._watch = watch
        self._folders: dict[int, Path] = {}
        self._lock = threading.Lock()
        self._descriptor = _checked(_libc.inotify_init1(IN_CLOEXEC | IN_NONBLOCK))

    def __enter__(self) -> _Notifications:
        for root in self._roots:
            self._add(root)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def read(self) -> None:
        """Take down what has happened until now."""
        with self._lock, suppress(BlockingIOError):  # nothing more
            while True:
                self._take_down(os.read(self._descriptor, READ_BYTES))

    def _take_down(self, events: bytes) -> None:
        at = 0
        while at < len(events):
            number, mask, _, length = EVENT.unpack_from(events, at)
            at += EVENT.size + length
            self._watch.missed |= bool(mask & IN_Q_OVERFLOW)
            name = events[at - length : at].rstrip(b"\0")
            if name and number in self._folders:
                self._note(self._folders[number] / os.fsdecode(name), bool(mask & IN_ISDIR))

    def _add(self, folder: Path) -> None:
        with suppress(FileNotFoundError):  # it is gone again
            self._folders[_checked(_libc.inotify_add_watch(self._descriptor, bytes(folder), WATCHED))] = folder
            for path in folder.iterdir():
                if path.is_dir() and not path.is_symlink():
                    self._add(path)

    def _note(self, path: Path, is_folder: bool) -> None:
        if not is_folder:
            root = next(root for root in self._roots if path.is_relative_to(root))
            self._watch.written[path] = str(path.relative_to(root))
            return
        self._add(path)
        for inside in path.rglob("*"):  # what was made before the watch was there
            if not inside.is_dir():
                self._note(inside, False)


def _checked(result: int) -> int:
    """`result` of a C function. Raises OSError where it failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _open_elsewhere(process: int, roots: list[Path]) -> Iterator[str]:
    with suppress(OSError):  # it has ended, or the file is closed again
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            with suppress(OSError):
                path = os.readlink(descriptor)
                if not path.startswith("/") or path.startswith(("/memfd:", *NO_FILES)):
                    continue
                told = Path(f"/proc/{process}/fdinfo/{descriptor.name}").read_text()
                flags = next(int(line.split()[1], 8) for line in told.splitlines() if line.startswith("flags:"))
                if flags & os.O_ACCMODE != os.O_RDONLY and not any(Path(path).is_relative_to(root) for root in roots):
                    yield path
