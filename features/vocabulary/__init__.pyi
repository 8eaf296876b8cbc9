from .load import load as load
from .store import Loaded as Loaded
from .store import ancestors_of_codes as ancestors_of_codes
from .store import codes_below as codes_below
from .store import loaded as loaded
