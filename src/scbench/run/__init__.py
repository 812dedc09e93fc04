"""Running a family: where configuration, data, model, engine and record files meet."""
