"""Ctrl-C that Python would drop: it came while an object was torn down."""

from __future__ import annotations

import signal
import sys
import threading

#: Seconds after which a dropped interrupt comes again: Python has left the destructor by then.
AGAIN = 0.05


def keep() -> None:
    """Let an interrupt of this thread, the main one, come again when Python has dropped it.

    Nothing raised in a destructor, or in another call that has no caller, goes on from there: Python tells
    `sys.unraisablehook` and forgets it. A `KeyboardInterrupt` among these is somebody's wish to stop.
    """
    tell, here = sys.unraisablehook, threading.get_ident()

    def hook(dropped: sys.UnraisableHookArgs) -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt):
            tell(dropped)
            return
        # a signal to this thread ends what it waits for; at once, it would be dropped within this hook, too
        again = threading.Timer(AGAIN, signal.pthread_kill, (here, signal.SIGINT))
        again.daemon = True
        again.start()

    sys.unraisablehook = hook
