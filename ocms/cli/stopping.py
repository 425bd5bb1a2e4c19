"""How a command that works for long is stopped."""

import os
import signal
import socket
import threading
import time
from types import FrameType

STOP_SECONDS = 4.0
"""How long the work may take to roll back before the process ends without it: then the database does it by itself."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def stop_on_signals() -> None:
    """Turn the first SIGINT or SIGTERM into KeyboardInterrupt, so that what is in work is rolled back and recorded.

    Python raises it when the main thread comes back from a driver; a second thread does not wait for that.
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
