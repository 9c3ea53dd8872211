"""The search for each method's options, by the same number of trials on validation data."""
