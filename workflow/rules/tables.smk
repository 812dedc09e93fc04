localrules:
    tables,


rule tables:
    input:
        rules.score.output,
        sources("results/*.py"),
    output:
        MANIFEST.folder / "tables/cells.md",
    params:
        manifest=MANIFEST.path,
    shell:
        "{SCBENCH} tables --manifest {params.manifest}"
