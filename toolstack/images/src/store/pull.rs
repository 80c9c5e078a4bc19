//! Pulling from a registry.

/// How to pull.
#[derive(Debug, Clone, Default)]
pub struct PullOptions {}
