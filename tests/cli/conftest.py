"""Commands that tests start can be interrupted, whatever the shell does that runs the tests."""

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a shell; children inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
