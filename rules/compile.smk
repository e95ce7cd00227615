# Takes an optimized model, makes the program of one variant, and its ladder.


rule compile:
    input:
        unpack(flow.inputs("compile")),
    output:
        **layout.compile("{model}", "{target}", "{scheme}"),
    log:
        text=layout.log("compile", "{model}", "{target}", "{scheme}"),
        job=layout.job("compile", "{model}", "{target}", "{scheme}"),
    params:
        spec=flow.spec("compile"),
        toolchain=flow.toolchain("compile"),
        preload=flow.preload("compile"),
        fingerprint=flow.fingerprint("compile"),
    shell:
        "edgeflow compile --toolchain {params.toolchain:q} --preload={params.preload:q} --job {log.job:q}"
        " --spec {params.spec:q}"
        " --input model={input.model:q} outputs={input.outputs:q} ladder={input.ladder:q}"
        " golden={input.golden:q} evaluation={input.evaluation:q}"
        " --output program={output.program:q} info={output.info:q} outputs={output.outputs:q}"
        " ladder={output.ladder:q} > {log.text:q} 2>&1"
