"""Labels that exist already, into a dataset: looked at first, taken in once agreed."""
