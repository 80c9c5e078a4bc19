//! The first shared page of a vchan, `struct vchan_interface` (xen/include/public/io/libxenvchan.h).
//!
//! ```text
//!   0  left.cons   4  left.prod   8  right.cons  12  right.prod     (u32 each; left: client to server)
//!  16  left_order 18  right_order                                   (u16; log2 of the ring's size)
//!  20  cli_live   21  srv_live   22  cli_notify  23  srv_notify     (u8)
//!  24  grants[]: of the left ring's pages, then of the right's      (u32)
//! 1024 a ring of order 10        2048 a ring of order 11            (instead of pages of their own)
//! ```

use crate::grants::PAGE_SIZE;

pub(super) const LEFT_CONS: usize = 0;
pub(super) const LEFT_PROD: usize = 4;
pub(super) const RIGHT_CONS: usize = 8;
pub(super) const RIGHT_PROD: usize = 12;
pub(super) const LEFT_ORDER: usize = 16;
pub(super) const RIGHT_ORDER: usize = 18;
pub(super) const CLI_LIVE: usize = 20;
pub(super) const SRV_LIVE: usize = 21;
pub(super) const CLI_NOTIFY: usize = 22;
pub(super) const SRV_NOTIFY: usize = 23;
pub(super) const GRANTS: usize = 24;

/// Values of the live bytes.
pub(super) const GONE: u8 = 0;
pub(super) const CONNECTED: u8 = 1;
pub(super) const WAITING: u8 = 2;

/// `VCHAN_NOTIFY_WRITE`: tell me when you have written.
pub(super) const NOTIFY_WRITE: u8 = 1;
/// `VCHAN_NOTIFY_READ`: tell me when you have read.
pub(super) const NOTIFY_READ: u8 = 2;

const SMALL_ORDER: u16 = 10;
const LARGE_ORDER: u16 = 11;
const PAGE_ORDER: u16 = PAGE_SIZE.trailing_zeros() as u16;
/// `MAX_RING_SHIFT`: more pages would not leave room for their references in the first one.
const MAX_ORDER: u16 = 20;

/// Size of one ring, as a power of two: 1 KiB and 2 KiB live in the first page, 4 KiB to 1 MiB in pages of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingOrder(u16);

impl RingOrder {
    /// 1 KiB, in the first page.
    pub const SMALL: RingOrder = RingOrder(SMALL_ORDER);
    /// 2 KiB, in the first page.
    pub const LARGE: RingOrder = RingOrder(LARGE_ORDER);
    /// 64 KiB, in 16 pages of its own: what the channel to a pod uses each way.
    pub const PAGES_16: RingOrder = RingOrder(16);

    /// From its logarithm: 10 to 20.
    pub fn new(order: u16) -> Option<Self> {
        (SMALL_ORDER..=MAX_ORDER).contains(&order).then_some(RingOrder(order))
    }

    /// The logarithm.
    pub fn get(self) -> u16 {
        self.0
    }

    /// Bytes in the ring.
    pub fn size(self) -> u32 {
        1 << self.0
    }

    /// Pages of its own.
    pub(super) fn pages(self) -> usize {
        if self.0 < PAGE_ORDER { 0 } else { 1 << (self.0 - PAGE_ORDER) }
    }

    /// Where in the first page it is, when it has no pages of its own.
    pub(super) fn offset(self) -> Option<usize> {
        match self.0 {
            SMALL_ORDER => Some(1024),
            LARGE_ORDER => Some(2048),
            _ => None,
        }
    }
}

/// Both rings' sizes. Not both of the same small order: they would be the same memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingSizes {
    /// From client to server.
    pub left: RingOrder,
    /// From server to client.
    pub right: RingOrder,
}

impl RingSizes {
    /// 64 KiB each way.
    pub const DEFAULT: RingSizes = RingSizes { left: RingOrder::PAGES_16, right: RingOrder::PAGES_16 };

    /// Whether both have a place and their references fit before the rings in the first page.
    pub(super) fn is_valid(self) -> bool {
        let references_end = GRANTS + 4 * (self.left.pages() + self.right.pages());
        let first_ring = [self.left, self.right].iter().filter_map(|ring| ring.offset()).min().unwrap_or(PAGE_SIZE);
        references_end <= first_ring && (self.left != self.right || self.left.offset().is_none())
    }
}
