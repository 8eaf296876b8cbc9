from .actionable import SOURCE as SOURCE
from .actionable import Actionable as Actionable
from .actionable import listed_genes as listed_genes
from .genes import resolve as resolve
