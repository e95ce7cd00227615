# Takes the plan and every verdict, makes the report, summary.csv and the decision per target.


rule plan:
    output:
        **layout.plan(),
    log:
        layout.log("plan"),
    params:
        matrix=flow.matrix,
        cells=flow.cells,
    shell:
        "edgeflow plan --matrix {params.matrix:q} --output {output.plan:q} > {log:q} 2>&1"


rule report:
    input:
        unpack(flow.inputs("report")),
    output:
        **layout.report(),
    log:
        layout.log("report"),
    params:
        call=flow.call("report"),
    shell:
        "edgeflow report --toolchain {params.call[toolchain]:q} --preload={params.call[preload]:q} --job {params.call[job]:q}"
        " --spec {params.call[spec]:q} --input plan={input.plan:q} results=$(dirname {input.plan:q})"
        " --output html={output.html:q} summary={output.summary:q} decision={output.decision:q}"
        " sources={output.sources:q} > {log:q} 2>&1"
