"""Installed open-source Python packages as material: their versions, their sources, and what they say of themselves.

Only packages that this project depends on, directly or not, are looked at; what is not installed is passed over.
Nothing is imported.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# distributions whose code has many documented functions, and the folder of their sources
SOURCES = {
    "networkx": "networkx",
    "scikit-learn": "sklearn",
    "sympy": "sympy",
    "nltk": "nltk",
    "mlflow": "mlflow",
    "pandas": "pandas",
    "snakemake": "snakemake",
    "matplotlib": "matplotlib",
    "rich": "rich",
    "scipy": "scipy",
    "numpy": "numpy",
    "sqlalchemy": "sqlalchemy",
    "fonttools": "fontTools",
    "huggingface-hub": "huggingface_hub",
    "datasets": "datasets",
    "accelerate": "accelerate",
    "docutils": "docutils",
    "setuptools": "setuptools",
    "hydra-core": "hydra",
    "narwhals": "narwhals",
    "jinja2": "jinja2",
    "click": "click",
    "werkzeug": "werkzeug",
    "flask": "flask",
    "mpmath": "mpmath",
    "pygments": "pygments",
    "joblib": "joblib",
    "pyparsing": "pyparsing",
    "requests": "requests",
    "urllib3": "urllib3",
    "transformers": "transformers",
}
# distributions whose long description tells what they are, beside a summary of one line
DESCRIBED = _words(
    """
    absl-py accelerate aiohappyeyeballs aiohttp aiosignal alembic annotated-doc annotated-types anyio
    argparse-dataclass attrs cachetools charset-normalizer click cloudpickle configargparse contourpy cryptography
    databricks-sdk datasets defusedxml dill docker docutils dpath fastapi flask flask-cors fonttools frozenlist fsspec
    gguf gitpython google-auth graphene graphql-core graphql-relay greenlet gunicorn h11 hf-xet httpcore2 httpx2 huey
    huggingface-hub humanfriendly hydra-core idna immutables importlib-metadata itsdangerous jinja2 joblib jsonschema
    jsonschema-specifications mako markdown-it-py markupsafe matplotlib mlflow mlflow-tracing mpmath multidict
    multiprocess narwhals networkx nltk numpy omegaconf packaging pandas pillow platformdirs prettytable propcache
    psutil pulp pyarrow pyasn1 pycparser pydantic pydantic-core pyparsing python-dateutil python-dotenv referencing
    regex requests rich rouge-score rpds-py scikit-learn scipy setuptools shellingham skops smart-open smmap
    snakemake-interface-executor-plugins snakemake-interface-logger-plugins snakemake-interface-report-plugins
    snakemake-interface-scheduler-plugins snakemake-interface-storage-plugins sortedcontainers sqlalchemy sqlmodel
    sqlparse starlette sympy throttler torch tqdm traitlets transformers tree-sitter typer urllib3 uvicorn wcwidth
    werkzeug wrapt xxhash yarl yte zipp
    """
)
SUMMARY_WORDS = 4  # at least: "Data toolkit" is a title, not a summary
ASIDE = frozenset({"tests", "testing", "test", "_vendor", "vendored", "externals", "_vendored_packages"})


@dataclass(frozen=True)
class Description:
    """What a distribution says of itself: its long description, and its summary of one line."""

    distribution: str
    text: str
    summary: str


def installed(names: Iterable[str]) -> dict[str, str]:
    """The versions of those of the named distributions that are installed."""
    return {name: found.version for name in names if (found := _distribution(name)) is not None}


def ingredients(names: Iterable[str]) -> str:
    """Names what generated texts are made of: versions, and that of Python, whose parser renders code."""
    python = f"python {sys.version_info.major}.{sys.version_info.minor}"
    return "; ".join([python, *(f"{name} {version}" for name, version in installed(names).items())])


def far_apart(index: int, count: int) -> int:
    """Where session `index` starts in a list of `count` things: each elsewhere, far from the session before."""
    return (index % 2 * (count // 2) + index // 2) % count


@cache
def source_files(name: str) -> tuple[Path, ...]:
    """The Python files of a distribution's sources in alphabetical order, without tests and other people's code."""
    spec = find_spec(SOURCES[name])
    if spec is None or not spec.submodule_search_locations:
        return ()
    folder = Path(next(iter(spec.submodule_search_locations)))
    files = (file.relative_to(folder) for file in folder.rglob("*.py"))
    own = (file for file in files if ASIDE.isdisjoint(file.parts) and not file.name.startswith(("test_", "conftest")))
    return tuple(folder / file for file in sorted(own, key=Path.as_posix))


@cache
def descriptions() -> tuple[Description, ...]:
    """What the installed distributions of `DESCRIBED` say of themselves, where the summary is a phrase or more."""
    found = filter(None, map(_description, DESCRIBED))
    by_summary = {described.summary.lower(): described for described in found}
    return tuple(by_summary.values())


def _description(name: str) -> Description | None:
    found = _distribution(name)
    if found is None:
        return None
    fields = found.metadata.json
    summary = " ".join(str(fields.get("summary", "")).split())
    text = "\n".join(str(fields.get("description", "")).splitlines())
    return Description(name, text, summary) if len(re.findall(r"\w+", summary)) >= SUMMARY_WORDS else None


def _distribution(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None
