# Takes envs/<toolchain>.txt, makes .toolchains/<toolchain>/ and the stamp that says the environment is whole. The lock
# is a param and not an input, so that a comment in it rebuilds nothing.


rule toolchain:
    output:
        stamp=layout.toolchain("{toolchain}")["stamp"],
    log:
        layout.log("toolchain", "{toolchain}"),
    params:
        lock=flow.lock,
    shell:
        "edgeflow toolchain {wildcards.toolchain} > {log:q} 2>&1"
