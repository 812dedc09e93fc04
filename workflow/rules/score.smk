# Scores come from records alone: a changed scorer scores again without a model.
localrules:
    score,


rule score:
    input:
        stamps=[MANIFEST.stamp(family.id) for family in MANIFEST.families],
        sources=sources("scoring/**/*.py", *(f"results/{name}.py" for name in ("scores", "labels", "columns", "contexts", "frames"))),
    output:
        MANIFEST.folder / "scores.csv",
        MANIFEST.folder / "costs.csv",
        MANIFEST.folder / "failures.csv",
    params:
        manifest=MANIFEST.path,
        cells=list(MANIFEST.cells),
    shell:
        "{SCBENCH} score --manifest {params.manifest}"
