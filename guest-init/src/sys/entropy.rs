//! Entropy for the kernel's random number generator (drivers/char/random.c).

use std::fs::File;
use std::os::fd::AsRawFd;

use rustix::io::Result;

use super::check;

/// `RNDADDENTROPY`, `_IOW('R', 0x03, int[2])`.
const RNDADDENTROPY: libc::c_ulong = 0x4008_5203;
/// `RNDRESEEDCRNG`, `_IO('R', 0x07)`.
const RNDRESEEDCRNG: libc::c_ulong = 0x5207;

/// Mixes `seed` in, counts each bit of it as entropy, and makes the generator use it at once.
pub fn add_entropy(random: &File, seed: &[u8]) -> Result<()> {
    // struct rand_pool_info { int entropy_count; int buf_size; __u32 buf[]; }
    let mut request: Vec<u32> = vec![(seed.len() * 8) as u32, seed.len() as u32];
    request.extend(seed.chunks(4).map(|chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        u32::from_ne_bytes(word)
    }));
    // SAFETY: the kernel reads the two ints and then buf_size bytes, which the vector holds.
    check(libc::c_long::from(unsafe { libc::ioctl(random.as_raw_fd(), RNDADDENTROPY as _, request.as_ptr()) }))?;
    // SAFETY: takes no argument.
    check(libc::c_long::from(unsafe { libc::ioctl(random.as_raw_fd(), RNDRESEEDCRNG as _) }))?;
    Ok(())
}
