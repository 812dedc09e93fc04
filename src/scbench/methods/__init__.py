"""KV-cache methods, one file each, in the room of the stage at which they act."""
