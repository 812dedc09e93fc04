"""The one exception that users see."""


class ScbenchError(Exception):
    """A failure that the user can act on: one line that says what, where, and what to do.

    The command line prints it without a traceback and exits with code 2.
    """
