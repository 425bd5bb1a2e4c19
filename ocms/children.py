"""Child processes that end when the process that started them ends, however that happens."""

import os
import signal
import sys
import threading
import time
from multiprocessing import parent_process
from multiprocessing.process import BaseProcess

STOP_SECONDS = 5.0
"""How long a child may take to stop by SIGTERM before it ends without any further step."""


def end_with_parent() -> None:
    """Stop this process when its parent has ended, even by SIGKILL; otherwise it would hold its port for ever.

    It is called in a child that multiprocessing has started, and does nothing in another process. The parent holds the
    other end of a pipe, which the system closes; unlike Linux's parent-death signal this works on every system.
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
