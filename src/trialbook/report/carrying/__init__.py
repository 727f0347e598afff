"""How files carry the reference of what they show: one file a format, writing and reading.

What a reference says is decided in ``records/figure_references.py``; what it leads to, in
``locating.py``. Reading opens nothing, draws nothing and follows nothing that a file names: files
come from anywhere. Each reader works in bounded memory and says what it could not read.
"""
