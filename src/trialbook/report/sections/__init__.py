"""The sections of a study's report, each made from analyses."""
