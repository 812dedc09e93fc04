"""Methods that change how the base is prefilled: sparse attention plans, prompt compression, and dense itself."""
