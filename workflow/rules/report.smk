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
        directory(MANIFEST.folder / "figures"),
    params:
        manifest=MANIFEST.path,
    shell:
        "{SCBENCH} report --manifest {params.manifest}"
