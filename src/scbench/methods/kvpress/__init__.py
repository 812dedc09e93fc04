"""The presses of NVIDIA's kvpress, by their names: what they are told, for `engine=kvpress` to run them."""
