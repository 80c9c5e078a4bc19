//! On-disk structures of EROFS, little endian (Linux 6.1, `fs/erofs/erofs_fs.h`).

/// `LOG_BLOCK_SIZE`: Linux 6.1 takes only the page size.
pub(super) const BLOCK_BITS: u8 = 12;
/// Bytes of a block.
pub(super) const BLOCK: u64 = 1 << BLOCK_BITS;
/// `EROFS_SUPER_OFFSET`.
pub(super) const SUPER_OFFSET: u64 = 1024;
/// `sizeof(struct erofs_super_block)`.
pub(super) const SUPER_SIZE: u64 = 128;
/// `EROFS_ISLOTBITS`: an inode's number is its offset in the metadata area in these units.
pub(super) const SLOT: u64 = 32;
/// `sizeof(struct erofs_dirent)`.
pub(super) const DIRENT: usize = 12;
/// `sizeof(struct erofs_xattr_ibody_header)`.
const XATTR_HEADER: usize = 12;

const MAGIC: u32 = 0xe0f5_e1e2;
/// `EROFS_FEATURE_COMPAT_SB_CHKSUM | EROFS_FEATURE_COMPAT_MTIME`.
const COMPAT: u32 = 0x1 | 0x2;

/// How an inode's data is stored: `EROFS_INODE_FLAT_PLAIN`, `EROFS_INODE_FLAT_INLINE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// All in blocks.
    Plain,
    /// Full blocks, and the rest behind the inode.
    Inline,
}

/// What the superblock says.
pub(super) struct Super {
    pub root_nid: u16,
    pub inodes: u64,
    pub build_time: i64,
    pub blocks: u32,
    pub uuid: [u8; 16],
}

impl Super {
    /// Its 128 bytes; the checksum is filled in once block 0 is complete, by [`checksum`].
    pub fn bytes(&self) -> [u8; SUPER_SIZE as usize] {
        let mut sb = [0; SUPER_SIZE as usize];
        put(&mut sb, 0, &MAGIC.to_le_bytes());
        put(&mut sb, 8, &COMPAT.to_le_bytes());
        sb[12] = BLOCK_BITS;
        put(&mut sb, 14, &self.root_nid.to_le_bytes());
        put(&mut sb, 16, &self.inodes.to_le_bytes());
        put(&mut sb, 24, &self.build_time.to_le_bytes());
        put(&mut sb, 36, &self.blocks.to_le_bytes());
        // meta_blkaddr (40) is 0: the metadata area begins with block 0. xattr_blkaddr (44) is 0: none are shared.
        put(&mut sb, 48, &self.uuid);
        sb
    }
}

/// Offset of the checksum in the superblock.
pub(super) const CHECKSUM_OFFSET: u64 = 4;

/// CRC-32C from the superblock to the end of block 0, checksum field zero, without the final inversion
/// (`erofs_superblock_csum_verify`).
pub(super) fn checksum(from_super: &[u8]) -> u32 {
    !crc32c::crc32c(from_super)
}

/// An inode's header.
pub(super) struct InodeHeader {
    pub extended: bool,
    pub layout: Layout,
    /// Value of `i_xattr_icount`.
    pub xattr_count: u16,
    /// With the file type.
    pub mode: u16,
    pub size: u64,
    /// First block of data, or the device number.
    pub union: u32,
    pub ino: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: (i64, u32),
    pub nlink: u32,
}

impl InodeHeader {
    /// Appends 32 or 64 bytes. A compact header has 16 bits for owner, group and links, 32 for the size, and takes its
    /// time from the superblock: [`super::plan`] sees to that.
    pub fn append(&self, out: &mut Vec<u8>) {
        let layout = match self.layout {
            Layout::Plain => 0u16,
            Layout::Inline => 2,
        };
        let start = out.len();
        out.resize(start + if self.extended { 64 } else { 32 }, 0);
        let inode = &mut out[start..];
        put(inode, 0, &(layout << 1 | u16::from(self.extended)).to_le_bytes());
        put(inode, 2, &self.xattr_count.to_le_bytes());
        put(inode, 4, &self.mode.to_le_bytes());
        put(inode, 16, &self.union.to_le_bytes());
        put(inode, 20, &self.ino.to_le_bytes());
        if self.extended {
            put(inode, 8, &self.size.to_le_bytes());
            put(inode, 24, &self.uid.to_le_bytes());
            put(inode, 28, &self.gid.to_le_bytes());
            put(inode, 32, &self.mtime.0.to_le_bytes());
            put(inode, 40, &self.mtime.1.to_le_bytes());
            put(inode, 44, &self.nlink.to_le_bytes());
        } else {
            put(inode, 6, &(self.nlink as u16).to_le_bytes());
            put(inode, 8, &(self.size as u32).to_le_bytes());
            put(inode, 24, &(self.uid as u16).to_le_bytes());
            put(inode, 26, &(self.gid as u16).to_le_bytes());
        }
    }
}

/// `new_encode_dev` (`include/linux/kdev_t.h`).
pub(super) fn device(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

/// Splits an attribute's name into EROFS's index and the rest. `None` for what EROFS or an image cannot hold: a
/// namespace that Linux does not have, a rest over 255 bytes, and overlayfs's own marks, which would change what a pod
/// sees.
pub(crate) fn xattr_index(name: &[u8]) -> Option<(u8, &[u8])> {
    if name.starts_with(b"trusted.overlay.") || name.contains(&0) {
        return None;
    }
    match name {
        b"system.posix_acl_access" => return Some((2, b"")),
        b"system.posix_acl_default" => return Some((3, b"")),
        _ => {}
    }
    let prefixes: [(u8, &[u8]); 3] = [(1, b"user."), (4, b"trusted."), (6, b"security.")];
    let (index, rest) = prefixes.into_iter().find_map(|(index, p)| Some((index, name.strip_prefix(p)?)))?;
    (!rest.is_empty() && rest.len() <= 255).then_some((index, rest))
}

/// Bytes the attributes take behind the inode, header included; 0 for none.
pub(super) fn xattr_size(xattrs: &[(Vec<u8>, Vec<u8>)]) -> u64 {
    if xattrs.is_empty() {
        return 0;
    }
    let entry = |(name, value): &(Vec<u8>, Vec<u8>)| {
        let rest = xattr_index(name).map_or(0, |(_, rest)| rest.len());
        (4 + rest + value.len()).next_multiple_of(4)
    };
    (XATTR_HEADER + xattrs.iter().map(entry).sum::<usize>()) as u64
}

/// `i_xattr_icount` for that size (`erofs_xattr_ibody_size`).
pub(super) fn xattr_count(size: u64) -> Option<u16> {
    if size == 0 { Some(0) } else { u16::try_from((size - XATTR_HEADER as u64) / 4 + 1).ok() }
}

/// Appends the attributes.
pub(super) fn append_xattrs(xattrs: &[(Vec<u8>, Vec<u8>)], out: &mut Vec<u8>) {
    if xattrs.is_empty() {
        return;
    }
    let start = out.len();
    out.resize(start + XATTR_HEADER, 0);
    for (name, value) in xattrs {
        let Some((index, rest)) = xattr_index(name) else { continue };
        out.extend_from_slice(&[rest.len() as u8, index]);
        out.extend_from_slice(&(value.len() as u16).to_le_bytes());
        out.extend_from_slice(rest);
        out.extend_from_slice(value);
        out.resize(start + (out.len() - start).next_multiple_of(4), 0);
    }
}

fn put(buf: &mut [u8], at: usize, bytes: &[u8]) {
    buf[at..at + bytes.len()].copy_from_slice(bytes);
}
