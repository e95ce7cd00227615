# Takes a dataset's train split, makes a checkpoint; evaluation and golden are only read to score it.


rule train:
    input:
        unpack(flow.inputs("train")),
    output:
        **layout.train("{model}", "{recipe}"),
    log:
        layout.log("train", "{model}", "{recipe}"),
    params:
        spec=flow.spec("train"),
        fingerprint=flow.fingerprint("train"),
    shell:
        "edgeflow train --spec {params.spec:q}"
        " --input train={input.train:q} evaluation={input.evaluation:q} golden={input.golden:q}"
        " --output checkpoint={output.checkpoint:q} outputs={output.outputs:q} ladder={output.ladder:q}"
        " info={output.info:q} > {log:q} 2>&1"
