# Takes a dataset's files, or the DVC pointers that stand for them, makes its splits (train, calibration, evaluation,
# golden), golden samples as they were before, the list of which sample is where, and dataset.json.


rule prepare:
    input:
        unpack(flow.inputs("prepare")),
    output:
        **layout.prepare("{dataset}"),
    log:
        layout.log("prepare", "{dataset}"),
    priority: 1
    params:
        call=flow.call("prepare"),
    shell:
        "edgeflow data {input.pointers:q} > {log:q} 2>&1 &&"
        " edgeflow prepare --toolchain {params.call[toolchain]:q} --preload={params.call[preload]:q} --job {params.call[job]:q}"
        " --spec {params.call[spec]:q}"
        " --output train={output.train:q} calibration={output.calibration:q} evaluation={output.evaluation:q}"
        " golden={output.golden:q} golden_raw={output.golden_raw:q} samples={output.samples:q} info={output.info:q} >> {log:q} 2>&1"
