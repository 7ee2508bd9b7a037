//! Budgets and loop breakers: requests, tokens and cost per principal, group and session, and the tower layer.
