"""What a talk costs. Pure: no database, no clock, no files."""
