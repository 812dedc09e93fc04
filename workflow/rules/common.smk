# The sweep that this run is about, and what the profile says of its jobs.
import os
import sys

from scbench.report.addresses import without_user
from scbench.workflow import opening, sources

MANIFEST, SITE = opening(
    config, workflow.resource_settings.default_resources, workflow.cores, main=workflow.is_main_process
)
# parameters are written down and printed by snakemake, a password must not be
TRACKED_AT = without_user(os.environ.get("MLFLOW_TRACKING_URI", ""), os.environ.get("MLFLOW_TRACKING_URI", ""))
SCBENCH = f"{sys.executable} -m scbench"
