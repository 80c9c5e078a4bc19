//! One 512-byte tar header (POSIX.1-1988 ustar, GNU tar's `tar.h`, star's additions).

/// Size of a tar block.
pub(super) const BLOCK: u64 = 512;

/// The fields of a header, as written; numbers are wide enough for anything base-256 can say in a sane archive.
#[derive(Debug)]
pub(super) struct Header {
    name: Vec<u8>,
    prefix: Vec<u8>,
    pub link: Vec<u8>,
    pub mode: i128,
    pub uid: i128,
    pub gid: i128,
    pub size: i128,
    pub mtime: i128,
    pub typeflag: u8,
    pub major: i128,
    pub minor: i128,
    /// GNU sparse: length of the file once expanded.
    pub real_size: i128,
    /// GNU sparse: the four (offset, length) pairs of the header, and whether extension blocks follow.
    pub sparse: [u8; 97],
}

impl Header {
    pub fn parse(block: &[u8; BLOCK as usize]) -> Result<Self, String> {
        let stored = number(&block[148..156], "checksum")?;
        let sum = |signed: bool| -> i128 {
            block
                .iter()
                .enumerate()
                .map(|(i, &b)| match (148..156).contains(&i) {
                    true => i128::from(b' '),
                    // Some old writers summed signed bytes.
                    false if signed => i128::from(b as i8),
                    false => i128::from(b),
                })
                .sum()
        };
        if stored != sum(false) && stored != sum(true) {
            return Err(format!("checksum is {}, header says {stored}", sum(false)));
        }
        let magic = &block[257..265];
        let gnu = magic == b"ustar  \0";
        let posix = !gnu && magic.starts_with(b"ustar");
        let typeflag = block[156];
        let device = |range, what| if posix || gnu { number(range, what) } else { Ok(0) };
        let prefix = match (posix, block.ends_with(b"tar\0")) {
            // star keeps two times in the last part of the prefix.
            (true, true) => cut(&block[345..476]),
            (true, false) => cut(&block[345..500]),
            (false, _) => Vec::new(),
        };
        let mut sparse = [0; 97];
        let mut real_size = 0;
        if typeflag == b'S' {
            sparse.copy_from_slice(&block[386..483]);
            real_size = number(&block[483..495], "real size")?;
        }
        Ok(Self {
            name: cut(&block[0..100]),
            prefix,
            link: cut(&block[157..257]),
            mode: number(&block[100..108], "mode")?,
            uid: number(&block[108..116], "owner")?,
            gid: number(&block[116..124], "group")?,
            size: number(&block[124..136], "size")?,
            mtime: number(&block[136..148], "time")?,
            typeflag,
            major: device(&block[329..337], "device major")?,
            minor: device(&block[337..345], "device minor")?,
            real_size,
            sparse,
        })
    }

    /// Prefix and name together.
    pub fn path(&self) -> Vec<u8> {
        let mut path = self.prefix.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(&self.name);
        path
    }
}

fn cut(field: &[u8]) -> Vec<u8> {
    let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
    field[..end].to_vec()
}

/// Octal digits among blanks and NULs, or base-256: first bit set, then a signed big-endian number.
pub(super) fn number(field: &[u8], what: &str) -> Result<i128, String> {
    if let Some(&first) = field.first().filter(|&&b| b & 0x80 != 0) {
        // Bit 6 is the sign; extend it over the first byte.
        let mut value = i128::from(if first & 0x40 != 0 { first as i8 } else { (first & 0x3f) as i8 });
        for &byte in &field[1..] {
            value = value << 8 | i128::from(byte);
        }
        return Ok(value);
    }
    let digits = field.trim_ascii_start();
    let end = digits.iter().position(|&b| b == 0 || b == b' ').unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    if !digits.iter().all(|b| (b'0'..=b'7').contains(b)) || !rest.iter().all(|&b| b == 0 || b == b' ') {
        return Err(format!("{what} is not a number: \"{}\"", field.escape_ascii()));
    }
    Ok(digits.iter().fold(0, |value, &digit| value << 3 | i128::from(digit - b'0')))
}
