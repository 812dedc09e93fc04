# One job per family: the cells that share one prefill. The records are the job's own business (it appends to them, and
# Snakemake deletes the outputs of failed jobs), so the rule's output is a small stamp.
FAMILIES = {family.id: family for family in MANIFEST.families}


def expected(resource, default):
    """What the family is expected to need, more at every attempt."""
    return lambda wildcards, attempt: FAMILIES[wildcards.family].resources.get(resource, default) * attempt


rule run:
    input:
        lambda wildcards: MANIFEST.sessions(FAMILIES[wildcards.family].source),
    output:
        MANIFEST.folder / "stamps/{family}.json",
    params:
        # the fingerprints change with what the family's numbers depend on, and with nothing else
        cells=lambda wildcards: FAMILIES[wildcards.family].cells,
        # where an engine that is not our own runs: another interpreter may have another engine
        python=lambda wildcards: MANIFEST.engine(FAMILIES[wildcards.family]).options.get("python"),
        retry=MANIFEST.run.retry,
        save_ids=MANIFEST.run.save_ids,
        manifest=MANIFEST.path,
    # a family uses the whole machine, since a second one beside it takes as much memory again, unless it is told not to
    threads: MANIFEST.run.threads or workflow.cores
    resources:
        mem_mb=expected("mem_mb", 16000),
        runtime=expected("runtime", 240),
    shell:
        "{SCBENCH} run-family --manifest {params.manifest} --family {wildcards.family}"
