"""What the garbage collector need not look at: modules, which stay for good.

Streamlit collects after every run of a page and of a fragment. With pandas, Altair and
SQLAlchemy loaded that takes 90 ms each time, nearly all of it for objects of modules.
"""

import gc
import sys

_seen = 0


def pass_over_modules() -> None:
    """Have all that is there now passed over, where modules came since the last call.

    What is in use by then is freed as ever when nobody refers to it.
    """
    global _seen
    if len(sys.modules) == _seen:
        return
    _seen = len(sys.modules)
    gc.collect()
    gc.freeze()
