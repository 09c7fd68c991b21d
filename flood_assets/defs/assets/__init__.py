"""The assets, one file a subject: stations (with measures), readings, completeness, retention."""
