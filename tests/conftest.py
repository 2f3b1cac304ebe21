"""What all tests share."""

import signal

# A test run that was started in the background ignores Ctrl-C, and its child processes would inherit that from it.
signal.signal(signal.SIGINT, signal.default_int_handler)
