"""The pure stages: functions from tables to tables. No clock, no network, no files, no environment."""
