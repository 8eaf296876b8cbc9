from .genetics import GeneticRecord as GeneticRecord
from .genetics import genetic_records as genetic_records
from .people import panels_of as panels_of
