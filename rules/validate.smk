# Takes a program, makes its measurements, then the verdict on them. One measurement at a time on a device: the
# resource `device`, limited in profiles/default. What is timed on this host takes every core of it and of Snakemake
# (docs/adr/0005).


rule measure:
    input:
        unpack(flow.inputs("measure")),
    output:
        **layout.measure("{model}", "{target}", "{scheme}"),
    log:
        layout.log("measure", "{model}", "{target}", "{scheme}"),
    threads: flow.measure_threads(workflow)
    resources:
        device=flow.device_slots,
    params:
        call=flow.call("measure"),
    shell:
        "edgeflow measure --toolchain {params.call[toolchain]:q} --preload={params.call[preload]:q} --job {params.call[job]:q}"
        " --spec {params.call[spec]:q}"
        " --input program={input.program:q} info={input.info:q} source={input.source:q}"
        " baseline={input.baseline:q} baseline_info={input.baseline_info:q}"
        " evaluation={input.evaluation:q} reference={input.reference:q} compiled_outputs={input.compiled_outputs:q}"
        " --output measurement={output.measurement:q} > {log:q} 2>&1"


rule judge:
    input:
        unpack(flow.inputs("judge")),
    output:
        **layout.judge("{model}", "{target}", "{scheme}"),
    log:
        layout.log("judge", "{model}", "{target}", "{scheme}"),
    params:
        call=flow.call("judge"),
    shell:
        "edgeflow judge --toolchain {params.call[toolchain]:q} --preload={params.call[preload]:q} --job {params.call[job]:q}"
        " --spec {params.call[spec]:q}"
        " --input measurement={input.measurement:q} train={input.train:q} --output verdict={output.verdict:q} > {log:q} 2>&1"
