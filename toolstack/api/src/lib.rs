//! What the daemon and its clients share: manifests, ids, states, errors and D-Bus proxies.
