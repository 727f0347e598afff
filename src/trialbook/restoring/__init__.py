"""The way back from records into the world: code, data and environment put where they can run."""
