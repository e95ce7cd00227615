# Takes a converted model and, where ranges are needed, calibration samples; makes a model with a scheme applied. Which
# layers a mixed-precision scheme leaves in float32 is found before, by quantizing one at a time.


rule optimize:
    input:
        unpack(flow.inputs("optimize")),
    output:
        **layout.optimize("{model}", "{profile}", "{scheme}", "{format}"),
    log:
        layout.log("optimize", "{model}", "{format}", "{profile}", "{scheme}"),
    priority: 1
    params:
        call=flow.call("optimize"),
    shell:
        "edgeflow optimize --toolchain {params.call[toolchain]:q} --preload={params.call[preload]:q} --job {params.call[job]:q}"
        " --spec {params.call[spec]:q}"
        " --input model={input.model:q} outputs={input.outputs:q} ladder={input.ladder:q}"
        " golden={input.golden:q} evaluation={input.evaluation:q} calibration={input.calibration:q}"
        " sensitivity={input.sensitivity:q}"
        " --output model={output.model:q} outputs={output.outputs:q} ladder={output.ladder:q} > {log:q} 2>&1"


rule sensitivity:
    input:
        unpack(flow.inputs("sensitivity")),
    output:
        **layout.sensitivity("{model}", "{profile}", "{scheme}", "{format}"),
    log:
        layout.log("sensitivity", "{model}", "{format}", "{profile}", "{scheme}"),
    priority: 1
    params:
        call=flow.call("sensitivity"),
    shell:
        "edgeflow sensitivity --toolchain {params.call[toolchain]:q} --preload={params.call[preload]:q} --job {params.call[job]:q}"
        " --spec {params.call[spec]:q}"
        " --input model={input.model:q} ladder={input.ladder:q} train={input.train:q}"
        " calibration={input.calibration:q}"
        " --output sensitivity={output.sensitivity:q} > {log:q} 2>&1"
