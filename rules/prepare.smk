# Takes a dataset's files, makes its splits (train, calibration, evaluation, golden) and dataset.json.


rule prepare:
    input:
        unpack(flow.inputs("prepare")),
    output:
        **layout.prepare("{dataset}"),
    log:
        layout.log("prepare", "{dataset}"),
    params:
        spec=flow.spec("prepare"),
        fingerprint=flow.fingerprint("prepare"),
    shell:
        "edgeflow prepare --spec {params.spec:q}"
        " --output train={output.train:q} calibration={output.calibration:q} evaluation={output.evaluation:q}"
        " golden={output.golden:q} info={output.info:q} > {log:q} 2>&1"
