from .checks import FIRST_YEAR as FIRST_YEAR
from .checks import LAST_YEAR as LAST_YEAR
from .compact import compact as compact
from .meds import ingest as ingest
from .report import IngestReport as IngestReport
