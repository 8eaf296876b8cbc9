from .run import SOURCE as SOURCE
from .run import ingest as ingest
