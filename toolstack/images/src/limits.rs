//! What an image may cost: every number that bounds hostile input, in one place.

/// Bounds on one image. The defaults admit the largest images in common use and keep a hostile one from filling
/// memory; disk is bounded by [`Limits::max_image_bytes`], which an operator with a small disk should lower.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Layers of one image. Docker's own bound is 127.
    pub max_layers: usize,
    /// Uncompressed bytes of one layer's tar.
    pub max_layer_bytes: u64,
    /// Uncompressed bytes of all layers together, and of all the files in the built tree (sparse files at full length).
    pub max_image_bytes: u64,
    /// Entries (files, directories, links, whiteouts) in all layers together.
    pub max_entries: u64,
    /// Bytes of names, link targets and extended attributes held in memory while an image is built.
    pub max_metadata_bytes: u64,
    /// Bytes of one entry's path or link target. Linux's `PATH_MAX` is 4096 with the final NUL.
    pub max_path_bytes: usize,
    /// Components of one entry's path.
    pub max_path_depth: usize,
    /// Bytes of one extended attribute's value. Linux's `XATTR_SIZE_MAX` is 65536; EROFS stores 16 bits of length.
    pub max_xattr_bytes: usize,
    /// Bytes of all extended attributes of one entry, as stored.
    pub max_xattrs_bytes: usize,
    /// Bytes of one PAX header or GNU long name record.
    pub max_header_bytes: u64,
    /// Data chunks of one sparse file.
    pub max_sparse_chunks: usize,
    /// Bytes of one manifest, index, or image configuration. Registries commonly stop at 4 MiB.
    pub max_document_bytes: u64,
    /// Levels of indexes within indexes.
    pub max_index_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const GIB: u64 = 1 << 30;
        Self {
            max_layers: 256,
            max_layer_bytes: 32 * GIB,
            max_image_bytes: 64 * GIB,
            max_entries: 1_000_000,
            max_metadata_bytes: 256 << 20,
            max_path_bytes: 4095,
            max_path_depth: 256,
            max_xattr_bytes: 65_535,
            max_xattrs_bytes: 128 << 10,
            max_header_bytes: 1 << 20,
            max_sparse_chunks: 65_536,
            max_document_bytes: 4 << 20,
            max_index_depth: 3,
        }
    }
}
