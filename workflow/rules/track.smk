# One process logs all runs: MLflow's database does not take several writers when it is new.
from scbench.report.tracking_failure import forget_failures

# a refusal of MLflow fails no sweep; the next one asks again
if workflow.is_main_process:
    forget_failures(MANIFEST.folder)


localrules:
    track,


rule track:
    input:
        rules.score.output,
        sources("report/tracking.py", "report/cell_run.py", "report/mlflow_links.py", "report/tracking_failure.py", "results/*.py"),
    output:
        MANIFEST.folder / "mlflow.json",
    params:
        manifest=MANIFEST.path,
        uri=TRACKED_AT,
    shell:
        "{SCBENCH} track --manifest {params.manifest}"
