# One process logs all runs: MLflow's database does not take several writers when it is new.
import os


localrules:
    track,


rule track:
    input:
        rules.score.output,
        sources("report/tracking.py", "report/cell_run.py", "report/mlflow_links.py"),
    output:
        MANIFEST.folder / "mlflow.json",
    params:
        manifest=MANIFEST.path,
        uri=os.environ.get("MLFLOW_TRACKING_URI", ""),
    shell:
        "{SCBENCH} track --manifest {params.manifest}"
