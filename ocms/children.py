"""Stop child processes when their parent ends, even if it was killed."""

import os
import signal
import sys
import threading
import time
from multiprocessing import parent_process
from multiprocessing.process import BaseProcess

STOP_SECONDS = 5.0
"""Seconds that a child has to stop after SIGTERM. Then it exits at once, without clean-up."""


def end_with_parent() -> None:
    """Stop this process when its parent has ended, even by SIGKILL; otherwise it would hold its port for ever.

    Call it in a child that multiprocessing has started; it does nothing in another process. The parent holds one end of
    a pipe, which the system closes when the parent ends; unlike Linux's parent-death signal this is portable.
    """
    if parent := parent_process():
        if not parent.is_alive():
            sys.exit()  # at once, while nothing has started
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: BaseProcess) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    os._exit(1)
