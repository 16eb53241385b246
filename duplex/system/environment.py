"""What programs that are not ours inherit of the environment: nothing that is for us alone.

Our own forks have all of it. Whoever starts another program (the pager is the only one so far)
gives it this. Knows names alone, not what they mean.
"""

from __future__ import annotations

import os

OURS = "DUPLEX_"  # how the names of our variables begin; some hold a code or a password


def for_others() -> dict[str, str]:
    """This process's environment without our variables."""
    return {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
