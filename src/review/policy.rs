//! The rules that a plan must keep: ours, and the platform's own.
