"""The kinds of figure: each turns the result of an analysis into a chart."""
