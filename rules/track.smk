# Takes everything that is built, gives artifacts to DVC and metrics to MLflow. Not part of `all`: nothing waits for it.


rule track:
    input:
        rules.all.input,
    log:
        layout.log("track"),
    params:
        matrix=flow.matrix,
    shell:
        "edgeflow track --matrix {params.matrix:q} > {log:q} 2>&1"
