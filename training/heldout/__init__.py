"""What a training measures on people whom its models have not seen, from the candidates to the result's document."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
