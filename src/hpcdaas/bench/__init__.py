"""What this machine can do, and how near hpcdaas comes to it: three levels, for sites and for `benchmarks/`.

========= ==========================================================================
level 0   the machine: memory, multiply-adds, transforms, ranks, files, GPU
level 1   primitives and algorithms, each with its ratio to a floor made from level 0
level 2   the whole: simulated scan files to registered results, held against the truth
========= ==========================================================================

A figure is one number with its unit, the limit that was measured in the same run, and the ratio to it.
"""
