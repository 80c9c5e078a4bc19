//! Kubernetes quantities: `500m`, `64Mi`, `1.5`, `1e3`.
//!
//! The grammar is that of `k8s.io/apimachinery/pkg/api/resource/quantity.go`. Negative values are refused here: nothing a pod
//! asks for can be negative.

/// Why a quantity was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not of the grammar.
    #[error("{0:?} is not a quantity; write a number with an optional suffix such as m, k, M, G, Ki, Mi or Gi")]
    Syntax(String),
    /// Below zero.
    #[error("{0:?} is negative")]
    Negative(String),
    /// Does not fit.
    #[error("{0:?} is larger than anything a machine has")]
    TooLarge(String),
}

/// The value in thousandths, rounded up, as Kubernetes rounds.
pub fn parse_milli(text: &str) -> Result<u64, QuantityError> {
    parse_scaled(text, 3)
}

/// The value in whole units (bytes), rounded up, as Kubernetes rounds.
pub fn parse_units(text: &str) -> Result<u64, QuantityError> {
    parse_scaled(text, 0)
}

/// Parses `text` and returns it times 10^`decimals`, rounded up.
fn parse_scaled(text: &str, decimals: i32) -> Result<u64, QuantityError> {
    let syntax = || QuantityError::Syntax(text.into());
    let unsigned = match text.strip_prefix('-') {
        Some(_) => return Err(QuantityError::Negative(text.into())),
        None => text.strip_prefix('+').unwrap_or(text),
    };
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return Err(syntax());
    }
    let (binary, mut power) = match suffix {
        "" => (0, 0),
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        exponent => {
            let digits = exponent.strip_prefix(['e', 'E']).ok_or_else(syntax)?;
            let power: i32 = digits.parse().map_err(|_| syntax())?;
            if power.abs() > 30 {
                return Err(QuantityError::TooLarge(text.into()));
            }
            (0, power)
        }
    };
    let digits: String = whole.chars().chain(fraction.chars()).collect();
    let digits = digits.trim_start_matches('0');
    power += decimals - i32::try_from(fraction.len()).map_err(|_| syntax())?;
    let too_large = || QuantityError::TooLarge(text.into());
    if digits.is_empty() {
        return Ok(0);
    }
    if digits.len() > 24 {
        return Err(too_large());
    }
    let mut value: u128 = digits.parse().map_err(|_| too_large())?;
    value = value.checked_mul(1 << binary).ok_or_else(too_large)?;
    if power >= 0 {
        let factor = 10u128.checked_pow(power.unsigned_abs()).ok_or_else(too_large)?;
        value = value.checked_mul(factor).ok_or_else(too_large)?;
    } else {
        // A divisor beyond 10^38 leaves a fraction of one, which rounds up.
        value = 10u128.checked_pow(power.unsigned_abs()).map_or(1, |divisor| value.div_ceil(divisor));
    }
    u64::try_from(value).map_err(|_| too_large())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_kubernetes() {
        for (text, milli) in [
            ("1", 1000),
            ("500m", 500),
            ("0.1", 100),
            ("1.5", 1500),
            ("2e3", 2_000_000),
            ("0", 0),
            ("100u", 1),
            (".5", 500),
        ] {
            assert_eq!(parse_milli(text), Ok(milli), "{text}");
        }
        for (text, bytes) in [
            ("64Mi", 64 << 20),
            ("1k", 1000),
            ("1Ki", 1024),
            ("1.5Gi", 3 << 29),
            ("1G", 1_000_000_000),
            ("128974848", 128_974_848),
            ("129e6", 129_000_000),
            ("1m", 1),
            ("0.5Ki", 512),
        ] {
            assert_eq!(parse_units(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_quantity_is_named() {
        for bad in ["", "Mi", "1.2.3", "64 Mi", "64MB", "1e", "0x10", "1Zi", "nan", ".", "٣"] {
            assert_eq!(parse_units(bad), Err(QuantityError::Syntax(bad.into())), "{bad}");
        }
        assert_eq!(parse_units("-1"), Err(QuantityError::Negative("-1".into())));
        for big in ["100Ei", "1e30", "99999999999999999999999999"] {
            assert_eq!(parse_units(big), Err(QuantityError::TooLarge(big.into())), "{big}");
        }
    }
}
