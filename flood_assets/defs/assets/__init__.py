"""The assets: lists of gauges, readings, completeness, conditions, flood warnings with their areas, and retention."""
