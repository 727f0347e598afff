"""Proofs for checklists, each found in the book or missing, by what they are proofs of."""
