"""Everything that puts `flood_assets` on machines; nothing here ships in the package."""
