//! OCI images: pulled, verified and made into one read-only EROFS each.
