"""What `make results` measures: `python -m experiments.measure --help`.

Each module registers its experiments, with their data and recipe in words, beside the
code and the constants that they describe.
"""
