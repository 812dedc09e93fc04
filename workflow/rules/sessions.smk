# One file of sessions per source: a configured task, counted with one model's tokenizer.
localrules:
    sessions,


rule sessions:
    output:
        MANIFEST.root / "sessions/{source}.jsonl",
    params:
        manifest=MANIFEST.path,
    shell:
        "{SCBENCH} sessions --manifest {params.manifest} --source {wildcards.source}"
