"""How a command that works for long is stopped."""

import os
import signal
import threading
from types import FrameType

STOP_SECONDS = 4.0
"""How long the work may take to roll back before the process ends without it: then the database does it by itself."""


def stop_on_signals() -> None:
    """Turn the first SIGINT or SIGTERM into KeyboardInterrupt, so that what is in work is rolled back and recorded."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)


def _stop(_number: int, _frame: FrameType | None) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    last_resort = threading.Timer(STOP_SECONDS, os._exit, [1])
    last_resort.daemon = True
    last_resort.start()
    raise KeyboardInterrupt
