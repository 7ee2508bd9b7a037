//! Just-in-time approvals: requests for them, who may decide, what they are bound to, and the tower layer that holds a request.
