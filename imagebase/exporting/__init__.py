"""From a labelled dataset to a training set: chosen, split, resized, varied, zipped."""
