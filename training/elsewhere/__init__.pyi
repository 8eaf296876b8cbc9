from .apply import Elsewhere as Elsewhere
from .apply import read_elsewhere as read_elsewhere
from .compare import drift as drift
from .compare import drift_sentence as drift_sentence
from .compare import recalibration as recalibration
from .compare import sentence as sentence
