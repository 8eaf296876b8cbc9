"""Ending a command when it is told to (SIGTERM, Ctrl-C), never while native code waits for Python to return.

A handler of a signal raises in whatever Python runs just then. Where native code has called that Python (XGBoost asks
for the next rows, a finaliser runs), an exception has no way back: it is printed and lost, and the native code goes
on with a result that nobody gave. There the handler waits a moment and looks again.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

WAIT_S = 0.02
# Python functions that native code calls through ctypes or the garbage collector: nothing that they raise comes back.
CALLED_BY_NATIVE_CODE = frozenset({"_next_wrapper", "_reset_wrapper", "_log_callback", "__del__"})


def end_when_told() -> None:
    """From now on SIGTERM ends this process with 143 and Ctrl-C with KeyboardInterrupt, at a moment that allows it."""
    asked: list[int] = []

    def told(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        end(0, frame)

    def end(_: int, frame: FrameType | None) -> None:
        if not asked:  # an alarm that was set before the process began to end
            return
        if called_by_native_code(frame):
            signal.setitimer(signal.ITIMER_REAL, WAIT_S)
            return
        number = asked[0]
        asked.clear()
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + number)

    signal.signal(signal.SIGALRM, end)
    signal.signal(signal.SIGTERM, told)
    signal.signal(signal.SIGINT, told)


def called_by_native_code(frame: FrameType | None) -> bool:
    """Whether one of the functions that run was called by native code that takes no exception."""
    while frame is not None:
        if frame.f_code.co_name in CALLED_BY_NATIVE_CODE:
            return True
        frame = frame.f_back
    return False
