# The sweep that this run is about.
import sys

from scbench.workflow import manifest_or_exit, sources

MANIFEST = manifest_or_exit(config, main=workflow.is_main_process)
SCBENCH = f"{sys.executable} -m scbench"
