# Takes a dataset's train split, or the trained weights that somebody brings, makes a checkpoint; evaluation and golden
# are only read to score it. A recipe other than "base" starts from the base checkpoint, and is compared with its control:
# as many epochs with no technique. Tracked files that the model names are brought first.


rule train:
    input:
        unpack(flow.inputs("train")),
    output:
        **layout.train("{model}", "{recipe}"),
    log:
        layout.log("train", "{model}", "{recipe}"),
    priority: 1
    params:
        call=flow.call("train"),
    shell:
        'for pointer in {input.pointers:q}; do edgeflow data "$pointer" || exit; done > {log:q} 2>&1;'
        " edgeflow train --toolchain {params.call[toolchain]:q} --preload={params.call[preload]:q} --job {params.call[job]:q}"
        " --spec {params.call[spec]:q}"
        " --input train={input.train:q} evaluation={input.evaluation:q} golden={input.golden:q}"
        " start={input.start:q} control={input.control:q} teachers={input.teachers:q}"
        " --output checkpoint={output.checkpoint:q} outputs={output.outputs:q} ladder={output.ladder:q}"
        " info={output.info:q} >> {log:q} 2>&1"
