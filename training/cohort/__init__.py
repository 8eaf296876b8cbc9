"""Who is studied, from when, and what became of them: from a record or a flat table, and parted into splits.

The promise: every person is on one side of every split, and nothing here has seen a model.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
