# Scores come from records alone: a changed scorer scores again without a model.
localrules:
    score,


# what makes the rows and columns of scores
SCORED_BY = ("scores", "labels", "columns", "contexts", "divergence", "frames")


rule score:
    input:
        stamps=MANIFEST.stamps(),
        sources=sources("scoring/**/*.py", *(f"results/{name}.py" for name in SCORED_BY)),
    output:
        MANIFEST.folder / "scores.csv",
        MANIFEST.folder / "costs.csv",
        MANIFEST.folder / "failures.csv",
    params:
        manifest=MANIFEST.path,
        cells=list(MANIFEST.cells),
    shell:
        "{SCBENCH} score --manifest {params.manifest}"
