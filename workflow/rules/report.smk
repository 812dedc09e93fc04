localrules:
    report,


rule report:
    input:
        rules.score.output,
        rules.tables.output,
        rules.track.output,
        sources("report/**/*"),
    output:
        MANIFEST.folder / "report.html",
    params:
        manifest=MANIFEST.path,
    shell:
        "{SCBENCH} report --manifest {params.manifest}"
