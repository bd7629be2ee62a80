"""Jobs: trainings and asynchronous predictions, their records, logs and results."""
