"""What calibration found for a model: kept in the user's data folder, used by ``recipe="auto"``."""
