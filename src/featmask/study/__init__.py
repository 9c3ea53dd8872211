"""Experiments: one run, a comparison of many, its plan, its search for options, its pictures.

Nothing is imported here: training one model needs none of the libraries that draw a report.
"""
