"""Everything that is run rather than imported: serving, testing, measuring, building graphs, training."""
