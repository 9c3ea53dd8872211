"""Pages over several studies, and pages made again from files alone."""
