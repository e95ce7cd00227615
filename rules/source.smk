# Takes a file that somebody brings, checks it and reads what it takes and gives, and asks it: what it answers is what
# everything made of it is held against. A tracked file is brought first.


rule source:
    input:
        unpack(flow.inputs("source")),
    output:
        **layout.source("{model}"),
    log:
        layout.log("source", "{model}"),
    priority: 1
    params:
        call=flow.call("source"),
    shell:
        'for pointer in {input.pointers:q}; do edgeflow data "$pointer" || exit; done > {log:q} 2>&1;'
        " edgeflow source --toolchain {params.call[toolchain]:q} --preload={params.call[preload]:q} --job {params.call[job]:q}"
        " --spec {params.call[spec]:q}"
        " --input golden={input.golden:q} evaluation={input.evaluation:q}"
        " --output outputs={output.outputs:q} ladder={output.ladder:q} info={output.info:q} >> {log:q} 2>&1"
