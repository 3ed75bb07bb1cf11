//! The comment that carries a pull request's plan.
