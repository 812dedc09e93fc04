"""Configuration: from Hydra overrides to typed, frozen cells."""
