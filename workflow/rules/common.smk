# The sweep that this run is about, and what the profile says of its jobs.
import sys

from scbench.workflow import opening, sources

MANIFEST, SITE = opening(
    config, workflow.resource_settings.default_resources, workflow.cores, main=workflow.is_main_process
)
SCBENCH = f"{sys.executable} -m scbench"
