# Takes a verdict and all that it stands on, makes a folder: package.json always, the .efpkg only for what is released.
# The output is package.json, which names the digest of the rest: Snakemake compares files by content, folders by time.


rule package:
    input:
        unpack(flow.inputs("package")),
    output:
        **layout.package("{model}", "{target}", "{scheme}"),
    log:
        layout.log("package", "{model}", "{target}", "{scheme}"),
    params:
        call=flow.call("package"),
    shell:
        "edgeflow package --toolchain {params.call[toolchain]:q} --preload={params.call[preload]:q} --job {params.call[job]:q}"
        " --spec {params.call[spec]:q}"
        " --input verdict={input.verdict:q} measurement={input.measurement:q} program={input.program:q}"
        " info={input.info:q} dataset={input.dataset:q} golden={input.golden:q} golden_raw={input.golden_raw:q}"
        " answers={input.answers:q} --output record={output.record:q} > {log:q} 2>&1"
