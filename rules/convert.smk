# Takes a checkpoint, a file that somebody brings, or what the edge before made; makes the same model in another format.
# A checkpoint's builder is called once more, and a file is read: what is tracked of it is brought first.


rule convert:
    input:
        unpack(flow.inputs("convert")),
    output:
        **layout.convert("{model}", "{recipe}", "{format}"),
    log:
        layout.log("convert", "{model}", "{recipe}", "{format}"),
    priority: 1
    params:
        call=flow.call("convert"),
    shell:
        'for pointer in {input.pointers:q}; do edgeflow data "$pointer" || exit; done > {log:q} 2>&1;'
        " edgeflow convert --toolchain {params.call[toolchain]:q} --preload={params.call[preload]:q} --job {params.call[job]:q}"
        " --spec {params.call[spec]:q}"
        " --input model={input.model:q} outputs={input.outputs:q} ladder={input.ladder:q}"
        " golden={input.golden:q} evaluation={input.evaluation:q}"
        " --output model={output.model:q} outputs={output.outputs:q} ladder={output.ladder:q} >> {log:q} 2>&1"
