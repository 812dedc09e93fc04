# The report shows where MLflow has the runs, and is itself put beside them: so this comes last.
localrules:
    artifacts,


rule artifacts:
    input:
        rules.track.output,
        rules.tables.output,
        rules.report.output,
        sources("report/artifacts.py"),
    output:
        MANIFEST.folder / "artifacts.json",
    params:
        manifest=MANIFEST.path,
        uri=TRACKED_AT,
    shell:
        "{SCBENCH} track --artifacts --manifest {params.manifest}"
