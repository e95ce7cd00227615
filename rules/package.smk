# Takes a verdict and all that it stands on, makes a folder: package.json always, the .efpkg only for what is released.


rule package:
    input:
        unpack(flow.inputs("package")),
    output:
        package=directory(layout.package("{model}", "{target}", "{scheme}")["package"]),
    log:
        text=layout.log("package", "{model}", "{target}", "{scheme}"),
        job=layout.job("package", "{model}", "{target}", "{scheme}"),
    params:
        call=flow.call("package"),
    shell:
        "edgeflow package --toolchain {params.call[toolchain]:q} --preload={params.call[preload]:q} --job {log.job:q}"
        " --spec {params.call[spec]:q}"
        " --input verdict={input.verdict:q} measurement={input.measurement:q} program={input.program:q}"
        " info={input.info:q} ladder={input.ladder:q} dataset={input.dataset:q} checkpoint={input.checkpoint:q}"
        " converted={input.converted:q} optimized={input.optimized:q} evaluation={input.evaluation:q}"
        " calibration={input.calibration:q} --output package={output.package:q} > {log.text:q} 2>&1"
