# One job per family (the cells that share one prefill), or per shard of its sessions. The records are the job's own
# business (it appends to them, and Snakemake deletes the outputs of failed jobs), so the rule's output is a small stamp.
from scbench.grid.demand import need

FAMILIES = {family.id: family for family in MANIFEST.families}


def needed(wildcards, attempt=1):
    """What a job asks for, more at every try: docs/slurm.md has the formula."""
    family = FAMILIES[wildcards.family]
    return need(family.demand, SITE.device, family.shards, MANIFEST.run).at(attempt, MANIFEST.run.tries)


rule run:
    input:
        lambda wildcards: MANIFEST.sessions(FAMILIES[wildcards.family].source),
    output:
        MANIFEST.folder / "stamps/{family}{shard}.json",
    params:
        # the fingerprints change with what the family's numbers depend on, and with nothing else
        cells=lambda wildcards: FAMILIES[wildcards.family].cells,
        shard=lambda wildcards: wildcards.shard.removeprefix(".") or "0-of-1",
        retry=MANIFEST.run.retry,
        save_ids=MANIFEST.run.save_ids,
        manifest=MANIFEST.path,
    wildcard_constraints:
        family="[0-9a-f]+",
        shard=r"(\.\d+-of-\d+)?",
    # they share an allocation, in which one follows the other, as many as the profile's group-components say
    group:
        lambda wildcards: "short" if needed(wildcards).minutes <= SITE.short else None
    # a family uses the whole machine, since a second one beside it takes as much memory again, unless it is told not to
    threads: MANIFEST.run.threads or workflow.cores
    resources:
        gpu=lambda wildcards: needed(wildcards).gpus,
        mem_mb=lambda wildcards, attempt: needed(wildcards, attempt).mem_mb,
        runtime=lambda wildcards, attempt: needed(wildcards, attempt).minutes,
        family=1,
    shell:
        "{SCBENCH} run-family --manifest {params.manifest} --family {wildcards.family} --shard {params.shard}"
