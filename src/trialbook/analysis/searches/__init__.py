"""What a search did, as values: each analysis takes a ``Search`` and gives a typed result.

Drawing lies in ``trialbook.report``; here is nothing but arrays and numbers.
"""
