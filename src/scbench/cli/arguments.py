"""The commands of `scbench` and their arguments."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from scbench.cli import (
    claiming,
    conformance,
    fetching,
    jobs,
    listing,
    runs,
    scoring,
    searching,
    sharing,
    showing,
    starting,
    tracking,
    training,
)
from scbench.errors import ScbenchError
from scbench.nearest import hint

OVERRIDES = """\
overrides are Hydra's key=value, and every key can be swept:
  method=dense,streaming_llm     choices of an axis: model, method, task, mode, engine
  'task=glob(*)'                 all of them
  task.length=2048,4096          an option of every choice of the axis
  method.streaming_llm.sinks=4   an option of one choice
  budget=0.25,0.5                share of the base; or tokens (512), stored bytes (64MiB, 25%stored),
                                 or bytes that a token touches (64MiB/token, 25%touched)
  experiment=smoke               start from conf/experiment/smoke.yaml
`scbench list methods` and the like say what there is; the files in conf/ hold all options with their defaults"""


@dataclass(frozen=True)
class Command:
    """A command: what it does in one line, the function, its arguments, and the end of its `--help`."""

    help: str
    function: Callable[[argparse.Namespace], int]
    arguments: Mapping[str, Mapping[str, object]]
    notes: str = ""
    examples: tuple[str, ...] = ()

    @property
    def epilog(self) -> str:
        """Notes and examples as `--help` shows them."""
        examples = "examples:\n" + "\n".join(f"  {example}" for example in self.examples) if self.examples else ""
        return "\n\n".join(part for part in (self.notes, examples) if part)


_OVERRIDES = {"overrides": {"nargs": "*", "metavar": "OVERRIDE", "help": "key=value, as below"}}
_MANIFEST = {"--manifest": {"type": Path, "required": True, "metavar": "FILE", "help": "results/<sweep>/manifest.json"}}


def _job(help: str, function: Callable[[argparse.Namespace], int], name: str, **more: Any) -> Command:
    example = f"scbench {name} --manifest results/smoke/manifest.json"
    return Command(f"{help} (a job of the workflow)", function, {**_MANIFEST, **more}, examples=(example,))


COMMANDS = {
    "sweep": Command(
        "plan a sweep, say what it will take, and hand it over to snakemake",
        runs.sweep,
        _OVERRIDES,
        OVERRIDES + "\n\nwhat follows -- goes to snakemake",
        (
            "scbench sweep experiment=smoke",
            "scbench sweep experiment=smoke budget=64,128 -- --dry-run",
            "scbench sweep method=dense task=retr_kv task.length=1024 task.limit=1 -- --cores 1",
        ),
    ),
    "run": Command(
        "run the cells that share one prefill, here, with progress bars",
        runs.run,
        {**_OVERRIDES, "--family": {"metavar": "ID", "help": "which family, if the overrides span several"}},
        OVERRIDES,
        ("scbench run experiment=smoke", "scbench run experiment=smoke method=streaming_llm budget=64,128"),
    ),
    "fetch": Command(
        "bring weights, tokenizers and data of a sweep here, for machines without a network",
        fetching.run,
        {**_OVERRIDES, "--dry-run": {"action": "store_true", "help": "say what is missing and how large it is"}},
        OVERRIDES + "\n\nwhat is here already is not fetched again, and what was interrupted goes on (docs/data.md)",
        ("scbench fetch experiment=paper --dry-run", "scbench fetch experiment=paper_llama3_1_8b"),
    ),
    "list": Command(
        "list the models, methods, tasks, modes or experiments that conf/ offers, or kvpress's presses",
        listing.run,
        {"kind": {"choices": listing.KINDS, "metavar": "KIND", "help": ", ".join(listing.KINDS)}},
        examples=("scbench list methods", "scbench list experiments"),
    ),
    "init": Command(
        "write into this folder what is adapted: slurm/ (snakemake's profile) and conf/experiment/mine.yaml",
        starting.run,
        {},
        "a conf/ in the current folder adds to scbench's own, file by file, and its files win; with a config.yaml of\n"
        "its own it stands alone (docs/install.md)",
        ("scbench init",),
    ),
    "check-method": Command(
        "certify a method: try in the engine what every method must satisfy",
        conformance.run,
        {
            "method": {"metavar": "NAME|FILE.py", "help": "a method of conf/, or a Python file that defines one"},
            "options": {"nargs": "*", "metavar": "method.OPTION=VALUE", "help": "such that it acts on some 60 tokens"},
        },
        "a method of conf/ is tried with its preset `tiny`; one that takes the budget, with 24 tokens",
        (
            "scbench check-method snapkv",
            "scbench check-method kivi method.group=8 method.residual=8",
            "scbench check-method my_method.py method.step=3",
        ),
    ),
    "search-minference": Command(
        "find MInference's pattern for each head of a model, and write them as a table",
        searching.run,
        {
            "overrides": {"nargs": "*", "metavar": "OVERRIDE", "help": "the model and the sample prompt, as below"},
            "--output": {"type": Path, "required": True, "metavar": "FILE", "help": "where the table goes (JSON)"},
            "--budget": {
                "type": float,
                "default": 0.1,
                "metavar": "SHARE",
                "help": "of the causal entries that every candidate may read (0.1)",
            },
        },
        "the prompt is that of the first session of the task (its context, in multi_turn with the first question);\n"
        "of candidates that read as much, each head gets the one that captures most of its attention "
        "(docs/minference.md)",
        (
            "scbench search-minference model=smollm2_135m task=retr_kv task.length=4096 --output table.json",
            "scbench search-minference model.path=./mymodel task=en_qa task.seed=1 --budget 0.2 --output table.json",
        ),
    ),
    "train-tiny": Command(
        "train one of the tiny models that the package carries, or go on with it",
        training.run,
        {
            "name": {"metavar": "NAME", "help": "tiny-llama, tiny-hybrid, tiny-hybrid-1to7 or tiny-mamba2"},
            "--output": {"type": Path, "metavar": "FOLDER", "help": "checkpoint and log (results/tiny/NAME)"},
            "--export": {"type": Path, "metavar": "FOLDER", "help": "where the model goes (model/ in the former)"},
            "--steps": {"type": int, "metavar": "N", "help": "train so many steps in all, instead of the recipe's"},
        },
        "hours on a CPU; a run that was stopped goes on from its last checkpoint, at most a minute of work ago\n"
        "(docs/tiny-models.md)",
        (
            "scbench train-tiny tiny-llama",
            "scbench train-tiny tiny-hybrid --output results/try --steps 100",
        ),
    ),
    "ui": Command(
        "serve MLflow's pages for this machine alone, and open the comparison of a sweep's runs",
        tracking.ui,
        {
            "sweep": {"nargs": "?", "metavar": "SWEEP", "help": "a sweep by name or folder (the one tracked last)"},
            "--port": {"type": int, "default": 5000, "metavar": "N", "help": "of 127.0.0.1 (5000)"},
        },
        examples=("scbench ui", "scbench ui smoke --port 5050"),
    ),
    "pack": Command(
        "put a sweep into one archive that others can verify",
        sharing.pack,
        {
            "sweep": {"metavar": "SWEEP", "help": "a sweep of results/ by its name, or its folder"},
            "--output": {"type": Path, "metavar": "FILE", "help": "the archive (results/<sweep>.zip)"},
        },
        "the archive has records, manifest, scores, tables, report, provenance and lock, and hashes of the sessions\n"
        "instead of their texts; it is the same, byte for byte, whenever it is made (docs/sharing.md)",
        ("scbench pack smoke", "scbench pack results/smoke --output smoke.zip"),
    ),
    "verify": Command(
        "score an archive's records again and say whether every number follows from them; exit code 1 if not",
        sharing.verify,
        {"archive": {"type": Path, "metavar": "ARCHIVE", "help": "what `scbench pack` wrote"}},
        "nothing of the archive is executed; one that leads out of its folder, was changed, or unpacks to more than\n"
        "it should is refused (exit code 2)",
        ("scbench verify smoke.zip",),
    ),
    "doctor": Command(
        "say what this machine can run, and how to install what is missing",
        jobs.doctor,
        {},
        examples=("scbench doctor",),
    ),
    "sessions": _job(
        "make the sessions of one source",
        jobs.sessions,
        "sessions --source ID",
        **{"--source": {"required": True, "metavar": "ID", "help": "a source of the manifest"}},
    ),
    "run-family": _job(
        "compute what the cells of one family lack",
        jobs.run_family,
        "run-family --family ID",
        **{
            "--family": {"required": True, "metavar": "ID", "help": "a family of the manifest"},
            "--shard": {"default": "0-of-1", "metavar": "K-of-N", "help": "a shard of its sessions (all of them)"},
            "--last": {"type": int, "default": 0, "metavar": "0|1", "help": "no other try follows this one (0)"},
            "--gpus": {"type": int, "default": 0, "metavar": "N", "help": "have N of the GPUs for itself (0: see all)"},
        },
    ),
    "score": Command(
        "print the scores of saved predictions; with --manifest, score a sweep (a job of the workflow)",
        scoring.score,
        {
            "path": {"type": Path, "nargs": "?", "metavar": "PATH", "help": "what to score, as below"},
            "--manifest": {"type": Path, "metavar": "FILE", "help": "results/<sweep>/manifest.json"},
            "--length": {
                "type": int,
                "default": 131_072,
                "metavar": "N",
                "help": "max_seq_length in the summary line of a prediction file (131072; -1 for none)",
            },
        },
        "PATH is a sweep's folder, a cell's folder or one of its record files, or a prediction file of the original\n"
        "(prediction_<task>_<multi_turn|scdq>.jsonl), for which the original's summary line is printed too",
        (
            "scbench score results/smoke",
            "scbench score prediction_scbench_kv_multi_turn.jsonl",
            "scbench score --manifest results/smoke/manifest.json",
        ),
    ),
    "golden": Command(
        "replay recorded scores and prompts of the original; exit code 1 if one differs",
        scoring.golden,
        {"files": {"type": Path, "nargs": "+", "metavar": "FILE", "help": "golden files"}},
        examples=("scbench golden reference_scoring.json reference_prompts.json",),
    ),
    "tables": _job("write the tables of a scored sweep", jobs.tables, "tables"),
    "report": _job("write the HTML report of a scored sweep", jobs.report, "report"),
    "track": Command(
        "send scored sweeps to an MLflow server; with --manifest, log one when it ends (a job of the workflow)",
        tracking.track,
        {
            "sweeps": {"nargs": "*", "metavar": "SWEEP", "help": "by name or folder (all of results/)"},
            "--to": {"metavar": "URI", "help": "of the server, or of a database (sqlite:///FILE)"},
            "--manifest": {"type": Path, "metavar": "FILE", "help": "results/<sweep>/manifest.json"},
            "--artifacts": {"action": "store_true", "help": "of a tracked sweep: its tables, figures and report"},
        },
        "for sweeps that ran where the server could not be reached. What is there already is not sent again, and what\n"
        "was interrupted goes on (docs/mlflow.md)",
        (
            "scbench track --to http://127.0.0.1:5000",
            "scbench track smoke --to sqlite:///shared.db",
            "scbench track --manifest results/smoke/manifest.json",
        ),
    ),
    "show": Command(
        "print a scored sweep: its cells, failures and files; its turns, budgets or stages; or one dialogue",
        showing.show,
        {
            "sweep": {"nargs": "?", "metavar": "SWEEP", "help": "a sweep of results/ by its name, or its folder"},
            "--manifest": {"type": Path, "metavar": "FILE", "help": "results/<sweep>/manifest.json"},
            "--by": {"choices": showing.VIEWS, "metavar": "VIEW", "help": ", ".join(showing.VIEWS)},
            "--cell": {"metavar": "CELL", "help": "a cell's fingerprint (or its start), or words of its names"},
            "--session": {"metavar": "ID", "help": "of the cell: which session (the first)"},
            "--turn": {"type": int, "metavar": "N", "help": "of the session: this turn alone, from 1"},
            "--with-baselines": {
                "type": Path,
                "metavar": "FOLDER",
                "help": "a folder of archives: rows of those that verify, and asked the same, stand beside",
            },
        },
        "how to read the tables: docs/results.md",
        (
            "scbench show smoke",
            "scbench show smoke --by budget",
            "scbench show smoke --with-baselines baselines",
            "scbench show smoke --cell 'snapkv 25% retr_kv multi_turn' --turn 2",
            "scbench show --manifest results/smoke/manifest.json",
        ),
    ),
    "diff": Command(
        "say what changed from one scored sweep to another, why, and whether beyond noise",
        showing.diff,
        {
            "first": {"metavar": "SWEEP_A", "help": "a sweep of results/ by its name, or its folder"},
            "second": {"metavar": "SWEEP_B", "help": "the one that is compared with it"},
        },
        examples=("scbench diff smoke results/smoke-1a2b3c4d",),
    ),
    "findings": Command(
        "say which of the claims in conf/findings.yaml a scored sweep shows",
        claiming.findings,
        {
            "sweep": {"nargs": "?", "metavar": "SWEEP", "help": "a sweep of results/ by its name, or its folder"},
            "--manifest": {"type": Path, "metavar": "FILE", "help": "results/<sweep>/manifest.json instead"},
            "--output": {"type": Path, "metavar": "FILE", "help": "the page (results/<sweep>/findings.md)"},
        },
        "`snakemake findings --config experiment=findings` runs the sweep too and writes docs/findings.md",
        ("scbench findings findings", "scbench findings findings --output docs/findings.md"),
    ),
}


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise ScbenchError(f"{message} (`{self.prog} --help` explains)")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments; `function` is what to call, and `rest` what followed `--`, which is snakemake's."""
    cut = argv.index("--") if "--" in argv else len(argv)
    name = next((word for word in argv[:cut] if not word.startswith("-")), None)
    if name is not None and name not in COMMANDS:
        raise ScbenchError(f"there is no command '{name}'; {hint(name, COMMANDS)}")
    if cut < len(argv) and name != "sweep":
        raise ScbenchError("only `scbench sweep` hands what follows -- over to snakemake")
    arguments = _parser().parse_args(argv[:cut])
    arguments.rest = list(argv[cut + 1 :])
    return arguments


def _parser() -> argparse.ArgumentParser:
    every = [example for command in COMMANDS.values() for example in command.examples[:1] if command.notes]
    parser = _Parser(
        prog="scbench",
        description="Shared Context Bench: what a KV-cache method costs, and loses, when questions share a context.",
        epilog="examples:\n" + "\n".join(f"  {example}" for example in [*every, "scbench sweep --help"]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        added = commands.add_parser(
            name,
            help=command.help,
            description=command.help,
            epilog=command.epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for argument, options in command.arguments.items():
            added.add_argument(argument, **options)  # type: ignore[arg-type]
        added.set_defaults(function=command.function)
    return parser
