"""The players' money as pure functions: what a transaction does to an account, and what is answered.

Nothing here waits, reads a clock or knows a database. `batch.resolve` is the only place where money
is decided; whoever calls it reads the state it needs first and writes the plan it returns.
"""
