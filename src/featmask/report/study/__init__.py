"""The pages of one comparison: HTML, Markdown, CSV, LaTeX."""
