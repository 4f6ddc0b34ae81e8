"""``fastconv bench``: what is timed (`suites`), against whom (`peers`), how (`measure`, `fresh`), and what is shown.

A run makes one document, plain data: `report` and `plot` read nothing else, and it is the JSON file.
"""
