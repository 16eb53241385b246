"""Python's modules, where the user that a room becomes cannot go: below /root, say.

Some modules are read only when they are needed. Their directories are opened while this process is
still root, and then looked for by their descriptors (/proc/self/fd/N): that takes no right to the
directories above, only to themselves. The descriptors stay open in the server, its helpers and the
screen. Members close them, for they lead to all below those directories and, by "..", beside them;
so what a member may need is read before.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from contextlib import suppress

from duplex.system import process
from duplex.system.errors import DuplexError

_READS = os.R_OK | os.X_OK
_NEEDED = ("prompt_toolkit", "precis_i18n")  # besides Python's own, and ours
_NICK = "Jörg日本"  # no plain one: what prepares it is read, too


class Reach:
    """Make it as root, and call `keep` as the user."""

    def __init__(self) -> None:
        packages = [path for module in _modules() for path in _paths(module)]
        found = {os.path.abspath(path) for path in [*sys.path, *packages] if os.path.isdir(path)}
        self._held: dict[str, int] = {}
        for path in _topmost(found):
            with suppress(OSError):  # it has just gone, or is no directory of a file system
                self._held[path] = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._moved: dict[str, str] = {}  # a directory that cannot be gone to, and its other name

    def keep(self, user: str) -> None:
        """Raises DuplexError if the user cannot read what is needed, wherever one goes in."""
        for path, fd in self._held.items():
            there = f"/proc/self/fd/{fd}"
            if not os.access(path, _READS) and os.access(there, _READS):
                self._moved[path] = there
                process.kept_open.add(fd)
            else:
                os.close(fd)
        if self._moved:
            sys.path[:] = map(self._now, sys.path)
            for module in _modules():
                _paths(module)[:] = map(self._now, _paths(module))
            sys.path_importer_cache.clear()
            importlib.invalidate_caches()
        if missing := self._missing():
            raise DuplexError(
                f"{user} cannot read {missing}: install duplex where all users can, or "
                "--allow-root lets the room run as root"
            )
        if self._moved:
            _read_what_members_need()

    def _now(self, path: str) -> str:
        whole = os.path.abspath(path) if path else path
        for before, there in self._moved.items():
            if whole == before or whole.startswith(before + os.sep):
                return there + whole[len(before) :]
        return path

    def _missing(self) -> str:
        """What of the program cannot be read; "" for nothing."""
        for part in (os.__file__, __file__):
            if not os.access(self._now(part), os.R_OK):
                return part
        return next((name for name in _NEEDED if importlib.util.find_spec(name) is None), "")


def _modules() -> list[object]:
    return list(sys.modules.values())


def _paths(module: object) -> list[str]:
    """Where a package has its modules; a list that the import system looks into."""
    paths = getattr(module, "__path__", None)
    return paths if isinstance(paths, list) else []


def _topmost(paths: set[str]) -> list[str]:
    """Those that are not below another one."""
    kept: list[str] = []
    for path in sorted(paths):
        if not any(path.startswith(one.rstrip(os.sep) + os.sep) for one in kept):
            kept.append(path)
    return kept


def _read_what_members_need() -> None:
    """The rest the server has read anyway."""
    from precis_i18n import get_profile

    for profile in ("NicknameCasePreserved", "NicknameCaseMapped"):
        get_profile(profile).enforce(_NICK)
    for name in ("hmac", "ipaddress", "random", "traceback"):
        importlib.import_module(name)
