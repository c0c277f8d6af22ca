"""From a dataset to a training set: selected, split, resized, varied, zipped."""
