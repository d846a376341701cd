"""Prefect and processes: servers, pools, workers, runners, logs."""
