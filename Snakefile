include: "workflow/rules/common.smk"
include: "workflow/rules/sessions.smk"
include: "workflow/rules/run.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/track.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/artifacts.smk"
include: "workflow/rules/findings.smk"


localrules:
    all,


# It stands here because Snakemake takes no default target from an included file. It has no output, so it always runs:
# the table is printed also when nothing is left to do.
rule all:
    default_target: True
    input:
        rules.report.output,
        rules.artifacts.output,
    params:
        manifest=MANIFEST.path,
    shell:
        "{SCBENCH} show --manifest {params.manifest}"
