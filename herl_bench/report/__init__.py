"""One HTML page of a run or a comparison that needs no network."""
