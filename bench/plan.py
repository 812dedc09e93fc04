"""`python -m bench.plan`: what the workflow itself costs: planning 10,000 cells, and jobs that have nothing to compute.

Planning is `snakemake --dry-run` on a sweep that was never composed, then again on its manifest: seconds by the clock
and of the processors, and the highest resident memory. Overhead is that of jobs whose sessions are all recorded: they
start, find nothing to do and leave their stamps, one by one here, and through sbatch where a SLURM answers.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

SEEDS, SHARDS = 50, 5  # 10 tasks × 50 seeds are 500 families, and 2,500 jobs
METHODS = "streaming_llm,snapkv,pyramidkv,quest,random"
TASKS = "glob(*,exclude=[gen_*,retr_kv,mix_sum_niah])"
WIDE = f"model=smollm2_135m method={METHODS} 'task={TASKS}' budget=0.25,0.5 mode=multi_turn,multi_request"
SMALL = (
    "model=tiny_llama method=dense task=retr_kv mode=multi_request task.length=256 task.turns=1 task.max_new_tokens=2 "
    "engine.fidelity=none run.mem_mb=500 run.runtime=10"
)
SLURM = (
    "score",
    "--profile",
    "slurm",
    "--jobs",
    "2",
    "--latency-wait",
    "5",
    "--slurm-init-seconds-before-status-checks",
    "2",
)


@dataclass(frozen=True)
class Taken:
    """What a command took, and what it printed."""

    seconds: float
    processor_seconds: float
    peak_mib: float
    printed: str


def wide(seeds: int, shards: int) -> str:
    """The overrides of a sweep with 200 cells and ten families for each seed."""
    return f"{WIDE} task.seed={','.join(map(str, range(seeds)))} run.shards={shards}"


def snakemake(results: Path, overrides: str, *arguments: str) -> Taken:
    """Run snakemake on a sweep; raises `SystemExit` if it fails."""
    config = ("--config", "experiment=null", f"overrides={overrides} results={results}")
    command = [sys.executable, "-m", "snakemake", *arguments, *config]
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=_environment())
        _, status, used = os.wait4(process.pid, 0)
        output.seek(0)
        printed = output.read()
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{' '.join(command)} failed:\n{printed[-3000:]}")
    spent = used.ru_utime + used.ru_stime
    return Taken(time.perf_counter() - began, spent, used.ru_maxrss / 1024, printed)


def _environment() -> dict[str, str]:
    return {**os.environ, "MLFLOW_TRACKING_URI": "", "OMP_NUM_THREADS": "1"}


def planning(seeds: int, shards: int) -> None:
    """Print the table of planning."""
    with tempfile.TemporaryDirectory(prefix="scbench-") as folder:
        for name in ("composed", "read again"):
            taken = snakemake(Path(folder), wide(seeds, shards), "--dry-run", "--quiet", "rules")
            (size,) = re.findall(r"(\d+ cells in \d+ families) .*?, (\d+ jobs)", taken.printed)
            row = (f"planning, {', '.join(size)}, {name}", *_figures(taken))
            print(f"| {' | '.join(row)} |", flush=True)


def _figures(taken: Taken) -> tuple[str, str, str]:
    return f"{taken.seconds:.1f}", f"{taken.processor_seconds:.1f}", f"{taken.peak_mib:.0f}"


def here(jobs: int) -> None:
    """Print what a job takes on this machine: a sweep of so many with nothing to compute, less one without any."""
    with _recorded(jobs) as results:
        with_jobs, without = (snakemake(results, _cut(jobs), "--cores", "1", "score") for _ in range(2))
        seconds = (with_jobs.seconds - without.seconds) / jobs
        processor = (with_jobs.processor_seconds - without.processor_seconds) / jobs
    print(f"| a job here, of {jobs} one by one | {seconds:.1f} | {processor:.1f} | |", flush=True)


def on_slurm(jobs: int) -> None:
    """Print how long SLURM says that such a job has run, alone in its allocation and together with others."""
    for short, name in ((0, "a job on SLURM, of {} two by two"), (60, "one of {} in one allocation on SLURM")):
        with _recorded(jobs) as results:
            groups = ("--group-components", f"short={jobs}", "--default-resources", "device=cpu", f"short={short}")
            printed = snakemake(results, _cut(jobs), *SLURM, *groups).printed
        ran = [_run_time(job) for job in re.findall(r"has been submitted with SLURM jobid (\d+)", printed)]
        seconds = median(ran) if short == 0 else sum(ran) / jobs
        print(f"| {name.format(jobs)} | {seconds:.1f} | | |", flush=True)


@contextmanager
def _recorded(jobs: int) -> Iterator[Path]:
    """A results folder in which a sweep of so many sessions is done, as one job."""
    shared = Path("results")  # where the nodes see it
    shared.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=shared.resolve()) as folder:
        snakemake(Path(folder), f"{SMALL} task.limit={jobs}", "score", "--quiet", "rules")
        yield Path(folder)


def _cut(jobs: int) -> str:
    return f"{SMALL} task.limit={jobs} run.shards={jobs}"


def _run_time(job: str) -> float:
    """Seconds that SLURM's controller says a job has run."""
    said = subprocess.run(["scontrol", "show", "job", "-o", job], capture_output=True, text=True, check=True).stdout
    (hours, minutes, seconds) = re.findall(r"RunTime=(\d+):(\d+):(\d+)", said)[0]
    return 3600 * int(hours) + 60 * int(minutes) + int(seconds)


def _slurm_answers() -> bool:
    if shutil.which("sinfo") is None:
        return False
    return subprocess.run(["timeout", "5", "sinfo"], capture_output=True).returncode == 0


def main() -> None:
    """Measure it all, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.plan", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="200 cells each")
    parser.add_argument("--jobs", type=int, default=6, help="with nothing to compute")
    given = parser.parse_args()
    print("| what | seconds | of the processors | peak MiB |\n|---|---|---|---|", flush=True)
    planning(given.seeds, SHARDS)
    here(given.jobs)
    if _slurm_answers():
        on_slurm(given.jobs)
    else:
        print("no SLURM answers on this machine: nothing is said of jobs on it", file=sys.stderr)


if __name__ == "__main__":
    main()
