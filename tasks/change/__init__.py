"""The family of change: two dates compared by change vectors, with false alarms measured on pairs where nothing changed."""
