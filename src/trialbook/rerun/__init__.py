"""Plan, restore, replay and compare a recorded trial."""
