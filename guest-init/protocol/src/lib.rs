//! The channel between the daemon and a pod's domain: frames, streams and messages.
