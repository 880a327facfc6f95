"""Running a model on a picture: the engine, its tiles, the strength dial, and the verbs people call."""
