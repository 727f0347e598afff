"""Words that tell nobody from anybody else, though hosts, users or repositories are called so."""

from __future__ import annotations

_PLAIN = """
Names a account address admin an and anybody as at be best by commit data default domain else,
file from group host in is is it job local localhost made main metric metrics model no nobody
nobody objective of of. on or param params path report report root search study tell test that
that to train trial trials user value values words
"""
_GUESSED = """
analysis artifact artifacts attempt attempts author authors baseline baselines batch benchmark
benchmarks checklist checkpoints classifier cluster coding command compare comparison complete
compute conda condition config configs configuration contact container course dataset datasets
demos develop development digest digits directory dirty environment epochs error evaluation
example examples exclusion exclusions experiment experiments failed failures feature features
figure figures finished folder front github gitlab groups hello history hosts hyperparameter
hyperparameters importance info inputs interval jovyan jupyter kernel labels learning library
linear machine machines mail main master median method methods models network networks neural
noreply notebook notebooks number numbers objectives office optimization optimize optimizer
optuna output outputs package packages paper papers pipeline production project projects pruned
pruner pruning python pytorch range record recorded records regression release replicate
replicates repos repository research result results runner sampler sampling scale scratch script
scripts sealed seeds selected sensitivity series service setting settings shared source sources
space staging states steps storage studies support table tables tasks team tests thesis timeline
torch trainer training transformer transformers trialbook trunk tuning ubuntu university users
vagrant version versions vision worker workers workspace
"""

PLAIN = frozenset(_PLAIN.split())
"""Names of many machines and users, and short words that a report is made of."""
USUAL = PLAIN | frozenset(_GUESSED.split())
"""Also what repositories, packages and directories are called, and reports use for other things."""
