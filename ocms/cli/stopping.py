"""Stop a long command on a signal."""

import os
import signal
import socket
import threading
import time
from types import FrameType

STOP_SECONDS = 4.0
"""Seconds from the signal until the process is ended by force. The database then rolls back by itself."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def stop_on_signals() -> None:
    """Turn the first SIGINT or SIGTERM into KeyboardInterrupt, so that the work is rolled back and the stop recorded.

    Python raises the exception only after a call into a database driver has returned. A second thread ends the process
    if the stop takes longer than `STOP_SECONDS`.
    """
    ours, theirs = socket.socketpair()
    theirs.settimeout(0)
    signal.set_wakeup_fd(theirs.detach())
    threading.Thread(target=_end_in_time, args=(ours,), daemon=True).start()
    for number in SIGNALS:
        signal.signal(number, _stop)


def _stop(_number: int, _frame: FrameType | None) -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _end_in_time(signals: socket.socket) -> None:
    signals.recv(1)
    time.sleep(STOP_SECONDS)
    os._exit(1)
