"""Control problems with published dynamics, for learners to be compared on."""
