# Takes a verdict and all that it stands on, makes a folder: package.json always, the .efpkg only for what is released.


rule package:
    input:
        unpack(flow.inputs("package")),
    output:
        package=directory(layout.package("{model}", "{target}", "{scheme}")["package"]),
    log:
        layout.log("package", "{model}", "{target}", "{scheme}"),
    params:
        spec=flow.spec("package"),
        fingerprint=flow.fingerprint("package"),
    shell:
        "edgeflow package --spec {params.spec:q}"
        " --input verdict={input.verdict:q} measurement={input.measurement:q} program={input.program:q}"
        " info={input.info:q} ladder={input.ladder:q} dataset={input.dataset:q} checkpoint={input.checkpoint:q}"
        " converted={input.converted:q} optimized={input.optimized:q} evaluation={input.evaluation:q}"
        " calibration={input.calibration:q} --output package={output.package:q} > {log:q} 2>&1"
