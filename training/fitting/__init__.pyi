from .curves import learned_shape as learned_shape
from .pair import fit_clinical as fit_clinical
from .pair import fit_combined as fit_combined
from .pair import fit_pair as fit_pair
from .pair import followed as followed
from .period import Period as Period
from .period import period_of as period_of
