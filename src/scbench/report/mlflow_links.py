"""Where MLflow's pages show a sweep."""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import quote

HOST, PORT = "127.0.0.1", 5000  # of the server that `make ui` starts, for this machine alone
COMPARED = 100  # runs: with more, MLflow's comparison is slow, and its address too long


def is_server(tracking_uri: str) -> bool:
    """Whether pages are served there already; a database needs a server."""
    return tracking_uri.startswith(("http://", "https://"))


def address(tracking_uri: str, port: int = PORT) -> str:
    """Where the pages begin: the tracking server's own address, or this machine's."""
    return tracking_uri.rstrip("/") if is_server(tracking_uri) else f"http://{HOST}:{port}"


def comparison(experiment_id: str, runs: Sequence[str], sweep: str) -> str:
    """The page that compares a sweep's runs, behind the address; of many runs, their charts."""
    if len(runs) <= COMPARED:
        ids, experiments = (quote(json.dumps(ids, separators=(",", ":"))) for ids in (runs, [experiment_id]))
        return f"/#/compare-runs?runs={ids}&experiments={experiments}"
    wanted = quote(f'tags.`scb.sweep` = "{sweep}" AND tags.`scb.cell` != ""')
    return f"/#/experiments/{quote(experiment_id)}/runs?searchFilter={wanted}&compareRunsMode=CHART"
