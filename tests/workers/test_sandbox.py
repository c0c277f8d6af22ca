"""The system calls that a worker may not make, as the kernel reads the filter."""

import struct
from collections.abc import Iterator

import pytest

from imagebase.workers import sandbox

_MACHINES = list(sandbox._MACHINES.values())
_READ_CALL = (0, 63)


def result(column: int, machine: int, call: int, *, argument: int = 0) -> int:
    """Run the filter on a system call, as the kernel does."""
    steps = sandbox._program(column, machine)
    words = {
        sandbox._CALL_AT: call,
        sandbox._MACHINE_AT: machine,
        sandbox._FIRST_ARGUMENT_AT: argument,
    }
    at, loaded = 0, 0
    while True:
        operation, if_true, if_false, operand = steps[at]
        at += 1
        if operation == sandbox._RETURN:
            return operand
        if operation == sandbox._LOAD:
            loaded = words[operand]
        elif operation == sandbox._IF_EQUAL:
            at += if_true if loaded == operand else if_false
        else:
            at += if_true if loaded >= operand else if_false


@pytest.mark.parametrize(("column", "machine"), _MACHINES)
def test_denied_calls_are_denied_and_others_are_not(column: int, machine: int) -> None:
    denied = {numbers[column] for numbers in sandbox._DENIED.values()}
    prlimit = sandbox._PRLIMIT[column]
    for call in set(range(460)) - {prlimit}:
        wanted = sandbox._DENY if call in denied else sandbox._ALLOW
        assert result(column, machine, call) == wanted, call
    assert result(column, machine, prlimit) == sandbox._ALLOW
    assert result(column, machine, prlimit, argument=1) == sandbox._DENY
    x32_call = sandbox._X32_CALLS + _READ_CALL[column]
    assert result(column, machine, x32_call) == sandbox._DENY


def _jumps(steps: list[tuple[int, int, int, int]]) -> Iterator[int]:
    for at, (operation, if_true, if_false, _) in enumerate(steps):
        if operation in {sandbox._IF_EQUAL, sandbox._IF_AT_LEAST}:
            yield from (at + 1 + if_true, at + 1 + if_false)


@pytest.mark.parametrize(("column", "machine"), _MACHINES)
def test_no_step_jumps_out_of_the_filter(column: int, machine: int) -> None:
    """The kernel refuses such a filter altogether."""
    steps = sandbox._program(column, machine)
    assert max(_jumps(steps)) < len(steps)
    assert all(len(struct.pack("<HBBI", *step)) == 8 for step in steps)
