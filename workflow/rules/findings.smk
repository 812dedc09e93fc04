# What the sweep says of the claims in conf/findings.yaml. Only where it is asked for: `snakemake findings`.
localrules:
    findings,


rule findings:
    input:
        rules.score.output,
        sources("findings/*.py", "results/*.py"),
        claims="conf/findings.yaml",
    output:
        "docs/findings.md",
    params:
        manifest=MANIFEST.path,
    shell:
        "{SCBENCH} findings --manifest {params.manifest} --output {output}"
