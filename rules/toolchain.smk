# Takes envs/<toolchain>.txt, makes .toolchains/<toolchain>/ and the stamp that says the environment is whole.


rule toolchain:
    input:
        lock=layout.toolchain("{toolchain}")["lock"],
    output:
        stamp=layout.toolchain("{toolchain}")["stamp"],
    log:
        layout.log("toolchain", "{toolchain}"),
    shell:
        "edgeflow toolchain {wildcards.toolchain} > {log:q} 2>&1"
