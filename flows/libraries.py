"""Libraries: installed modules that a zygote loads ahead, for functions that have been seen to use them.

Only what is installed (Python's own modules and what is in site-packages) is loaded ahead, in the order in which such a
function loaded it. The user's own modules are imported by each child: their code, and whatever they read or compute
when they are imported, belongs to that one run. Here is the standard library only.
"""

import contextlib
import ctypes
import gc
import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

REFUSALS = (
    "",
    "an installation has just changed it",
    "a library leaves threads behind when it is imported, or does not survive a fork",
    "a library leaves files or connections open when it is imported",
    "a library leaves processes behind when it is imported",
    "a library handles signals when it is imported",
    "a library imports modules that are not installed",
    "it changes the environment or the standard library, which its libraries may look at when they are imported",
)
LOADED, SETTLING, THREADS, DESCRIPTORS, PROCESSES, SIGNALS, STRANGERS, TRACES = range(len(REFUSALS))

SETTLED_AFTER_SECONDS = 10
"""So long after its last change no installation is expected to be still going on."""

LOAD_WITHIN_SECONDS = 60
FORK_ENDS_WITHIN_SECONDS = 5
WORTHWHILE = 20
"""How many modules must be saved for a zygote of its own; each takes a fraction of a millisecond or more."""

_INSTALLATIONS = frozenset({"site-packages", "dist-packages"})
_LIBC = ctypes.PyDLL(None)
_STANDARD = os.path.dirname(os.__file__)
_SAFE_THREADS = frozenset({"jemalloc_bg_thd"})
"""Threads of memory allocators, which see to forks themselves."""


class Libraries:
    """What one zygote has loaded ahead. Make it before anything is loaded."""

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._before = self._loaded = frozenset(sys.modules)
        self._count = len(self._before)
        self._functions = _standard_functions()
        self._given: dict[str, str] = {}
        self._set: dict[str, str | None] = {}
        self._printed = (b"", b"")
        self._stamps: dict[str, int] = {}
        self._shadows: dict[str, tuple[int, frozenset[str]]] = {}

    # In the zygote.

    def load(self, names: Sequence[str], traces: Sequence[str]) -> int:
        """Imports them; says whether children can be forked now that are as if they had done it: LOADED or why not.

        `traces` is what the function was seen to change that a library could notice. The process dies of SIGALRM when
        it takes too long.
        """
        self._stamps = {place: _changed_at(place) for place in (*_installations(), _STANDARD)}
        if any(0 <= time.time() - changed / 1e9 < SETTLED_AFTER_SECONDS for changed in self._stamps.values()):
            return SETTLING
        self._names = tuple(names)
        self._shadows = {place: (_changed_at(place), self._shadowing(place)) for place in _others()}
        self._given = dict(os.environ)
        handlers, descriptors = _handlers(), set(os.listdir("/proc/self/fd"))
        signal.alarm(LOAD_WITHIN_SECONDS)
        with _printing() as printed:
            _import_all(names)
        signal.alarm(0)
        self._loaded, self._count = frozenset(sys.modules), len(sys.modules)
        self._printed = (printed[0], printed[1])
        self._set = {name: os.environ.get(name) for name in _differing(self._given, os.environ)}
        return self._judge(traces, handlers, descriptors)

    def _judge(self, traces: Sequence[str], handlers: tuple[Any, ...], descriptors: set[str]) -> int:
        found = {
            THREADS: not _a_fork_ends_well() or _has_threads(),
            DESCRIPTORS: not set(os.listdir("/proc/self/fd")) <= descriptors,
            PROCESSES: _has_children(),
            SIGNALS: _handlers() != handlers,
            STRANGERS: any(_origin(name) for name in sys.modules.keys() - self._before - set(self._names)),
            TRACES: not self._traces() >= set(traces),
        }
        return next((refusal for refusal, is_so in found.items() if is_so), LOADED)

    def are_old(self) -> bool:
        """Whether something was installed, or put where it is found first, since they were loaded."""
        if any(_changed_at(place) != changed for place, changed in self._stamps.items()):
            return True
        for place, (changed, shadowing) in self._shadows.items():
            if (now := _changed_at(place)) != changed:
                if self._shadowing(place) != shadowing:
                    return True
                self._shadows[place] = (now, shadowing)
        return False

    def _shadowing(self, place: str) -> frozenset[str]:
        """What there would be imported instead of a library."""
        try:
            there = {name.partition(".")[0] for name in os.listdir(place)}
        except OSError:
            return frozenset()
        return frozenset(there & {name.partition(".")[0] for name in self._names})

    # In a child.

    def begin(self, environment: Mapping[str, str]) -> None:
        """Makes the process what it would be, had it imported them itself in this environment."""
        self._given = dict(environment)
        _become(os.environ, {**environment, **{name: value for name, value in self._set.items() if value is not None}})
        for descriptor, printed in zip((1, 2), self._printed, strict=True):
            while printed:
                printed = printed[os.write(descriptor, printed) :]
        if numpy_random := sys.modules.get("numpy.random"):
            # `random` sees to it by itself.
            numpy_random.seed()

    def used(self, *, besides: str) -> dict[str, list[str]] | None:
        """What this process has loaded that was not there, in its order, or None when that was little.

        `besides` is the package of the user, wherever it is.
        """
        if len(sys.modules) - self._count < WORTHWHILE:
            # Looking at each would copy the pages where they are.
            return None
        new = [name for name in tuple(sys.modules) if name not in self._before]
        libraries = [name for name in new if name.partition(".")[0] != besides and _is_installed(name)]
        if len(set(libraries) - self._loaded) < WORTHWHILE:
            return None
        return {"libraries": libraries, "traces": sorted(self._traces())}

    def _traces(self) -> set[str]:
        """What was changed that a library could notice when it is imported."""
        replaced = {
            f"{module['__name__']}.{name}"
            for module, name, function in self._functions
            if module.get(name) is not function
        }
        return replaced | {f"${name}" for name in _differing(self._given, os.environ)}


def _standard_functions() -> list[tuple[dict[str, Any], str, Any]]:
    """Each with the namespace and the name where it is found."""
    standard = (vars(sys.modules[name]) for name in sys.modules if name.partition(".")[0] in sys.stdlib_module_names)
    return [(module, name, value) for module in standard for name, value in module.items() if callable(value)]


def _import_all(names: Sequence[str]) -> None:
    """As a child would, which finds what is in its directory first."""
    here = os.getcwd()
    sys.path.insert(0, here)
    for name in names:
        # Whoever needs it will see for themselves that it cannot be imported.
        with contextlib.suppress(Exception, SystemExit):
            importlib.import_module(name)
    sys.path.remove(here)
    for place in _others():
        # What was not found there may come to be there at the same moment of the clock.
        sys.path_importer_cache.pop(place, None)


@contextlib.contextmanager
def _printing() -> Iterator[list[bytes]]:
    """Collects what is written to stdout and stderr."""
    printed: list[bytes] = []
    kept = [(target, os.dup(target), os.memfd_create("printed")) for target in (1, 2)]
    for target, _, file in kept:
        os.dup2(file, target)
    yield printed
    sys.stdout.flush()
    sys.stderr.flush()
    for target, before, file in kept:
        os.dup2(before, target)
        os.close(before)
        with open(file, "rb") as reading:
            reading.seek(0)
            printed.append(reading.read())


def _is_installed(name: str) -> bool:
    return _origin(name).startswith((*(place + os.sep for place in _installations()), _STANDARD + os.sep))


def _origin(name: str) -> str:
    """The file of a module that was imported by this name, or nothing."""
    try:
        spec = vars(sys.modules[name]).get("__spec__")
    except (KeyError, TypeError):
        return ""
    origin = getattr(spec, "origin", None)
    is_file = isinstance(origin, str) and os.path.isabs(origin) and getattr(spec, "name", None) == name
    return str(origin) if is_file else ""


def _installations() -> list[str]:
    return [place for place in sys.path if os.path.basename(place) in _INSTALLATIONS]


def _others() -> list[str]:
    """Where else modules are looked for."""
    return [place for place in {os.getcwd(), *sys.path} - set(_installations()) if not place.startswith(_STANDARD)]


def _changed_at(place: str) -> int:
    """In nanoseconds; 0 when it is not there."""
    try:
        return os.stat(place).st_mtime_ns
    except OSError:
        return 0


def _differing(one: Mapping[str, str], other: Mapping[str, str]) -> set[str]:
    return {name for name in {*one, *other} if one.get(name) != other.get(name)}


def _become(environment: "os._Environ[str]", wanted: Mapping[str, str]) -> None:
    for name in _differing(environment, wanted):
        if name in wanted:
            environment[name] = wanted[name]
        else:
            del environment[name]


def _handlers() -> tuple[Any, ...]:
    return tuple(signal.getsignal(number) for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM))


def _a_fork_ends_well() -> bool:
    pid = os.fork()
    if pid == 0:
        signal.alarm(FORK_ENDS_WITHIN_SECONDS)
        exit_of_c(0)
    return os.waitpid(pid, 0)[1] == 0


def _has_threads() -> bool:
    """Whether there still are any after a fork: libraries that know of forks have ended theirs before it."""
    names = []
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{thread}/comm") as file:
            names.append(file.read().strip())
    return threading.active_count() > 1 or sum(name not in _SAFE_THREADS for name in names) > 1


def _has_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def exit_of_c(code: int) -> NoReturn:
    """Ends the process once Python has nothing left to do; what C has buffered is written."""
    _LIBC.exit(code)
    raise AssertionError("exit() returned")


def settle() -> None:
    """What is here now stays for ever: a child that collects garbage would only copy its pages."""
    gc.collect()
    gc.freeze()
