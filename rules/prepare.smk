# Takes a dataset's files, makes its splits (train, calibration, evaluation, golden) and dataset.json.


rule prepare:
    input:
        unpack(flow.inputs("prepare")),
    output:
        **layout.prepare("{dataset}"),
    log:
        text=layout.log("prepare", "{dataset}"),
        job=layout.job("prepare", "{dataset}"),
    params:
        spec=flow.spec("prepare"),
        toolchain=flow.toolchain("prepare"),
        preload=flow.preload("prepare"),
        fingerprint=flow.fingerprint("prepare"),
    shell:
        "edgeflow prepare --toolchain {params.toolchain:q} --preload={params.preload:q} --job {log.job:q}"
        " --spec {params.spec:q}"
        " --output train={output.train:q} calibration={output.calibration:q} evaluation={output.evaluation:q}"
        " golden={output.golden:q} info={output.info:q} > {log.text:q} 2>&1"
