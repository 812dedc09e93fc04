"""The figures of a sweep: one file per subject makes charts (data), two files draw them (print, screen)."""
