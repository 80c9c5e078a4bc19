//! Xen for xenpod: domains, xenstore, event channels, grants and vchan.
