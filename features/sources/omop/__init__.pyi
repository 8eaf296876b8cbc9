from .places import without_password as without_password
from .run import SOURCE as SOURCE
from .run import ingest as ingest
