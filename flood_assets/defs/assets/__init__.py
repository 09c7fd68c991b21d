"""The assets: stations with measures, readings with rejects, completeness with timeliness, conditions, retention."""
