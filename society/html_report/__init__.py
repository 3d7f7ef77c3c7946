"""Reports: one self-contained page for a run or a study, and the same in Markdown."""
