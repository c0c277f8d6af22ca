"""Take away from this process what a worker has no use for; it cannot be undone.

Linux: limits on memory, files and processes; no network, no programs, no signals to
other processes (seccomp); no files but the libraries (Landlock). macOS: the limits
alone. Windows: nothing.
"""

import ctypes
import os
import platform
import signal
import struct
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# Address space that libraries and thread stacks reserve and never fill; and what they
# do fill.
_RESERVED_BYTES: Final = 3_000_000_000
_FILLED_BYTES: Final = 600_000_000
_NICENESS: Final = 5

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_FILTER: Final = 2
_CAPABILITY_VERSION: Final = 0x20080522
# CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: root's libraries may be another's files.
_READ_ANY_FILE: Final = 1 << 1 | 1 << 2


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """What a worker process may use.

    memory_bytes: beyond the libraries. seconds: for a task, until it is killed.
    start_seconds: for the libraries and the setup.
    """

    memory_bytes: int
    seconds: float = 60.0
    start_seconds: float = 120.0
    open_files: int = 256


def die_with(parent: int) -> None:
    """End this process when the thread that started it ends, on Linux."""
    if sys.platform != "linux":
        return
    _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def enter(limits: WorkerLimits) -> tuple[str, ...]:
    """Restrict this process, which has no second thread yet, for good.

    Returns:
        Which of `limits`, `no_network` and `no_files` are in force.
    """
    if sys.platform == "win32":
        return ()
    os.nice(_NICENESS)
    _offer_to_the_oom_killer()
    _set_limits(limits)
    if sys.platform != "linux":
        return ("limits",)
    _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _drop_capabilities()
    files = ("no_files",) if _without_files() else ()
    network = ("no_network",) if _without_system_calls() else ()
    return ("limits", *network, *files)


def allow_cpu_seconds(seconds: float) -> None:
    """End this process after this much more CPU time than it has used so far."""
    if sys.platform != "win32":
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        most = int(used.ru_utime + used.ru_stime + seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))


def _set_limits(limits: WorkerLimits) -> None:
    if sys.platform == "win32":
        return
    import resource

    wanted = {
        resource.RLIMIT_AS: limits.memory_bytes + _RESERVED_BYTES,
        resource.RLIMIT_DATA: limits.memory_bytes + _FILLED_BYTES,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in wanted.items():
        _, hard = resource.getrlimit(kind)
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        try:
            resource.setrlimit(kind, (value, value))
        except (OSError, ValueError):  # macOS has no RLIMIT_AS that can be set
            continue


def _offer_to_the_oom_killer() -> None:
    """Have the kernel end this process first when memory runs out."""
    try:
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    except OSError:
        return


def _drop_capabilities() -> None:
    """Drop what root may do; files may be read still, as far as Landlock lets it."""
    header = struct.pack("<Ii", _CAPABILITY_VERSION, 0)
    low = _READ_ANY_FILE
    _libc().capset(header, struct.pack("<6I", low, low, 0, 0, 0, 0))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


# Numbers of system calls on x86-64 and on 64-bit ARM.
_DENIED: Final = {
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438),
    "io_uring_setup": (425, 425),
    "bpf": (321, 280),
    "unshare": (272, 97),
    "setns": (308, 268),
    "setsid": (112, 157),
    "setpgid": (109, 154),
    "mount": (165, 40),
    "open_by_handle_at": (304, 265),
    "perf_event_open": (298, 241),
}
# As AUDIT_ARCH_X86_64 and AUDIT_ARCH_AARCH64.
_MACHINES: Final = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_PRLIMIT: Final = (302, 261)
_X32_CALLS: Final = 0x40000000
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _DENY = 0x7FFF0000, 0x00050000 | 1  # the second fails as EPERM
_CALL_AT, _MACHINE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("program", ctypes.c_void_p))


def _without_system_calls() -> bool:
    """Deny network, programs, and reaching into other processes; say if it worked."""
    machine = _MACHINES.get(platform.machine())
    if machine is None or struct.calcsize("P") != 8:
        return False
    program = b"".join(struct.pack("<HBBI", *step) for step in _program(*machine))
    kept = ctypes.create_string_buffer(program, len(program))
    given = _Filter(len(program) // 8, ctypes.addressof(kept))
    done = _libc().prctl(_PR_SET_SECCOMP, _SECCOMP_FILTER, ctypes.byref(given), 0, 0)
    return bool(done == 0)


def _program(column: int, machine: int) -> list[tuple[int, int, int, int]]:
    """Return the filter: operation, steps to jump if true, if false, and operand."""
    denied = [numbers[column] for numbers in _DENIED.values()]
    checks = [
        (_IF_EQUAL, len(denied) - at + 3, 0, number) for at, number in enumerate(denied)
    ]
    return [
        (_LOAD, 0, 0, _MACHINE_AT),
        (_IF_EQUAL, 0, len(denied) + 6, machine),
        (_LOAD, 0, 0, _CALL_AT),
        (_IF_AT_LEAST, len(denied) + 4, 0, _X32_CALLS),
        *checks,
        # prlimit only of this process itself
        (_IF_EQUAL, 0, 2, _PRLIMIT[column]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
        (_IF_EQUAL, 0, 1, 0),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _DENY),
    ]


_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_VERSION: Final = 1
_PATH_BENEATH: Final = 1
# Execute, write, read, list, delete, make, and from later versions move and truncate.
_FILE_ACCESS: Final = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1}
_EXECUTE, _READ, _LIST, _WRITE = 1 << 0, 1 << 2, 1 << 3, 1 << 1
_SYSTEM: Final = (
    *("/usr", "/lib", "/lib64", "/bin", "/proc", "/sys"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives"),
    *("/etc/localtime", "/etc/os-release"),
)


def _without_files() -> bool:
    """Leave only libraries to be read and nothing to be written; say if it worked.

    Landlock also keeps this process from reading another's memory or environment.
    """
    libc = _libc()
    version = libc.syscall(_LANDLOCK_CREATE, None, 0, _LANDLOCK_VERSION)
    if version < 1:
        return False
    handled = ctypes.c_uint64(_FILE_ACCESS[min(version, 3)])
    rules = libc.syscall(_LANDLOCK_CREATE, ctypes.byref(handled), 8, 0)
    if rules < 0:
        return False
    try:
        for path in _searched(sys.path):
            _allow(rules, path, _LIST)
        for path in _readable(sys.path):
            _allow(rules, path, _EXECUTE | _READ | _LIST)
        _allow(rules, Path("/dev"), _READ | _LIST | _WRITE)
        return bool(libc.syscall(_LANDLOCK_RESTRICT, rules, 0) == 0)
    finally:
        os.close(rules)


def _searched(search_path: Sequence[str]) -> Iterable[Path]:
    """Return the folders in which modules are looked up: their names may be listed."""
    return {Path(path) for path in search_path if path and Path(path).exists()}


def _readable(search_path: Sequence[str]) -> Iterable[Path]:
    """Return the system's and Python's libraries, and packages and modules beside them.

    A folder of the search path may hold secrets, data or a home as well: of one outside
    Python only what can be imported is read.
    """
    python = [Path(sys.prefix), Path(sys.base_prefix)]
    libraries = {*python, *(Path(path) for path in _SYSTEM)}
    for folder in _searched(search_path):
        if not any(folder.is_relative_to(library) for library in python):
            libraries |= _importable(folder)
    return {path for path in libraries if path.exists()}


def _importable(folder: Path) -> set[Path]:
    if not folder.is_dir():
        return {folder}
    if folder.name in {"site-packages", "dist-packages"}:
        return {folder}
    return {
        *folder.glob("*.py"),
        *(init.parent for init in folder.glob("*/__init__.py")),
    }


def _allow(rules: int, path: Path, access: int) -> None:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not path.is_dir():
            access &= ~_LIST
        # struct landlock_path_beneath_attr is packed.
        rule = struct.pack("<Qi", access, fd)
        _libc().syscall(_LANDLOCK_ADD, rules, _PATH_BENEATH, rule, 0)
    finally:
        os.close(fd)
