"""What the job ``benchmark`` is made of: recipes, groups of runs, and three ways to run groups."""
