# Takes an optimized model or another runtime's program; makes the program of all targets of which the compiler sees the
# same.


rule compile:
    input:
        unpack(flow.inputs("compile")),
    output:
        **layout.compile("{model}", "{runtime}", "{platform}", "{scheme}"),
    log:
        layout.log("compile", "{model}", "{runtime}", "{platform}", "{scheme}"),
    params:
        call=flow.call("compile"),
    shell:
        "edgeflow compile --toolchain {params.call[toolchain]:q} --preload={params.call[preload]:q} --job {params.call[job]:q}"
        " --spec {params.call[spec]:q}"
        " --input model={input.model:q} outputs={input.outputs:q} ladder={input.ladder:q}"
        " source_info={input.source_info:q}"
        " golden={input.golden:q} evaluation={input.evaluation:q} origin={input.origin:q}"
        " --output program={output.program:q} info={output.info:q} outputs={output.outputs:q} > {log:q} 2>&1"
