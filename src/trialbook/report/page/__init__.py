"""Drawing charts for pages: traces and axes as plotly's JSON has them; plotly is not imported."""
