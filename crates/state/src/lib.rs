//! What the gate remembers beside the book: gateway tokens, approvals, grants and budgets, in SQLite.
