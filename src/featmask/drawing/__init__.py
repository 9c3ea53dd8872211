"""What pictures are drawn with: a figure's canvas, sheets of images, SVG for pages. Nothing here imports torch."""
