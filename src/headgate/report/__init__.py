"""What people see of a lake's quality: figures over time, the report page, the live dashboard."""
