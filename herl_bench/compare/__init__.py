"""Statistics over runs and over sets of answers: what can be concluded."""
