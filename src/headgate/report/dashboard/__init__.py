"""The live dashboard: a small web server that reads one lake and shows it; it writes nothing."""
