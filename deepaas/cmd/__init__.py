"""The commands. Only they read the command line and set up logging."""
