# edgeflow: train → convert → optimize → compile → measure → judge → package, over models × targets × schemes.
# Reads top-down: load and validate the configuration, include one file of rules a stage, name what to build.

import edgeflow.layout as layout
import edgeflow.workflow


configfile: "config/config.yaml"


flow = edgeflow.workflow.Flow(config)
if workflow.output_settings.dryrun:
    flow.look_only()


envvars:
    flow.IDENTITY,  # a node of a cluster is another machine than the one that started the run


wildcard_constraints:
    dataset=flow.ID,
    model=flow.ID,
    target=flow.ID,
    scheme=flow.ID,
    recipe=flow.ID,
    format=flow.ID,
    toolchain=flow.ID,
    profile=flow.NAME,
    runtime=flow.NAME,
    platform=flow.NAME,


localrules:
    all,
    plan,


onstart:
    flow.claim_locks(workflow)
    flow.collect_garbage()
    flow.begin()
    if workflow.local_exec:
        flow.prepare_workers(workflow.dag.needrun_jobs(), workflow.dag.ready_jobs)


onsuccess:
    flow.end(workflow)
    flow.leave_at_once()


onerror:
    flow.end(workflow)
    flow.leave_at_once()


rule all:
    default_target: True
    input:
        layout.report().values(),
        flow.missing,


include: "rules/toolchain.smk"
include: "rules/prepare.smk"
include: "rules/train.smk"
include: "rules/source.smk"
include: "rules/convert.smk"
include: "rules/optimize.smk"
include: "rules/compile.smk"
include: "rules/validate.smk"
include: "rules/package.smk"
include: "rules/report.smk"
include: "rules/track.smk"
