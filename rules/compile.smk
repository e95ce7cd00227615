# Takes an optimized model, makes the program of one variant, and its ladder.


rule compile:
    input:
        unpack(flow.inputs("compile")),
    output:
        **layout.compile("{model}", "{target}", "{scheme}"),
    log:
        layout.log("compile", "{model}", "{target}", "{scheme}"),
    params:
        spec=flow.spec("compile"),
        fingerprint=flow.fingerprint("compile"),
    shell:
        "edgeflow compile --spec {params.spec:q}"
        " --input model={input.model:q} outputs={input.outputs:q} ladder={input.ladder:q}"
        " golden={input.golden:q} evaluation={input.evaluation:q}"
        " --output program={output.program:q} info={output.info:q} outputs={output.outputs:q}"
        " ladder={output.ladder:q} > {log:q} 2>&1"
