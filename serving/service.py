"""The service: the score API, and the pages mounted beside it, behind one gate. One process."""

from __future__ import annotations

import gc
import os
from datetime import UTC, datetime
from functools import cache
from typing import Any

# Before BentoML is imported: it reads them then.
os.environ["BENTOML_DO_NOT_TRACK"] = "true"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"

import bentoml

from serving.access import Door, Signer
from serving.gate import Gate
from serving.settings import Settings
from serving.store.engine import open_store
from serving.web.pages import Backstage, pages
