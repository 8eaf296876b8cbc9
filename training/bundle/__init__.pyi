from .bundle import MANIFEST as MANIFEST
from .bundle import Bundle as Bundle
from .bundle import load as load
from .contents import write_bundle as write_bundle
