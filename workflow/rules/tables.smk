localrules:
    tables,


rule tables:
    input:
        rules.score.output,
        sources("results/*.py", "results/published.json"),
    output:
        MANIFEST.folder / "tables/cells.md",
    params:
        manifest=MANIFEST.path,
    shell:
        "{SCBENCH} tables --manifest {params.manifest}"
