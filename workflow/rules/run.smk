# One job per family (the cells that share one prefill), or per shard of its sessions. The records are the job's own
# business (it appends to them, and Snakemake deletes the outputs of failed jobs), so the rule's output is a small stamp.
from pathlib import Path

from scbench.grid.demand import need, spread
from scbench.grid.shard import Shard
from scbench.run import gpus
from scbench.run.slurm import waiting_for
from scbench.run.tries import begun

FAMILIES = {family.id: family for family in MANIFEST.families}


def needed(wildcards, attempt=1):
    """What a job asks for, more at every try: docs/slurm.md has the formula."""
    family = FAMILIES[wildcards.family]
    over = spread(MANIFEST.cells[family.cells[0]])
    first = need(family.demand, SITE.device, family.shards, MANIFEST.run, over)
    return SITE.grants(first.at(attempt, MANIFEST.run.tries))


def now_needed(wildcards, attempt):
    """The same, where an earlier snakemake's tries count too."""
    shard = Shard.parse(shard_of(wildcards))
    return needed(wildcards, max(attempt, 1 + begun(MANIFEST.tries(wildcards.family, shard))))


def shard_of(wildcards):
    return wildcards.shard.removeprefix(".") or "0-of-1"


def is_short(wildcards):
    return needed(wildcards).minutes <= SITE.short


def extra(wildcards):
    """Further options of sbatch: the site's, and to wait for what a snakemake that was killed has left to SLURM."""
    comment = "rule_short_run" if is_short(wildcards) else f"rule_run_wildcards_{wildcards.family}_{wildcards.shard}"
    wait = waiting_for(comment, Path.cwd()) if workflow.is_main_process else ""
    return f"{SITE.extra} {wait}".strip()


def cores_of(wildcards):
    """The profile's cores of a job, or this machine's.

    A family uses the whole machine, since a second one beside it takes as much memory again, unless it is told not to or
    has GPUs, of which others may have the rest.
    """
    whole = SITE.cores == workflow.cores
    share = gpus.share(SITE.cores, needed(wildcards).gpus, len(gpus.visible())) if whole else SITE.cores
    return MANIFEST.run.threads or share


rule run:
    input:
        lambda wildcards: MANIFEST.sessions(FAMILIES[wildcards.family].source),
    output:
        MANIFEST.folder / "stamps/{family}{shard}.json",
    params:
        # the fingerprints change with what the family's numbers depend on, and with nothing else
        cells=lambda wildcards: FAMILIES[wildcards.family].cells,
        shard=shard_of,
        # where an engine that is not our own runs: another interpreter may have another engine
        python=lambda wildcards: MANIFEST.engine(FAMILIES[wildcards.family]).options.get("python"),
        retry=MANIFEST.run.retry,
        save_ids=MANIFEST.run.save_ids,
        manifest=MANIFEST.path,
    wildcard_constraints:
        family="[0-9a-f]+",
        shard=r"(\.\d+-of-\d+)?",
    # they share an allocation, in which one follows the other, as many as the profile's group-components say
    group:
        lambda wildcards: "short" if is_short(wildcards) else None
    threads: cores_of
    resources:
        gpu=lambda wildcards: needed(wildcards).gpus,
        mem_mb=lambda wildcards, attempt: now_needed(wildcards, attempt).mem_mb,
        runtime=lambda wildcards, attempt: now_needed(wildcards, attempt).minutes,
        last=lambda wildcards, attempt: int(attempt > MANIFEST.run.tries),
        family=1,
        slurm_extra=extra,
    shell:
        "{SCBENCH} run-family --manifest {params.manifest} --family {wildcards.family} --shard {params.shard}"
        " --gpus {resources.gpu} --last {resources.last}"
