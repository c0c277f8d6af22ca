"""Who runs a command, for the history of what it changes."""

import getpass


def user_name() -> str:
    """Return the name of the system's user; empty where the system has none for it."""
    try:
        return getpass.getuser()
    # In a container a user may well be a mere number.
    except (OSError, KeyError, ImportError):
        return ""
