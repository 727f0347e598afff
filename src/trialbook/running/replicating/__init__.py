"""Replicating: chosen configurations of a study run again under fresh seeds, in a linked study."""
