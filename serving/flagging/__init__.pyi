from .genetics import GeneticRecord as GeneticRecord
from .genetics import genetic_records as genetic_records
from .people import panels_of as panels_of
from .policy import POLICIES as POLICIES
from .policy import policy_path as policy_path
