use super::*;

const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn computes_the_published_value_of_the_empty_string() {
    assert_eq!(Digest::of(b"").to_string(), EMPTY);
}

#[test]
fn sha512_is_computed_by_its_own_hasher() {
    let abc = "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
               2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
    let digest: Digest = abc.parse().unwrap();
    let mut hasher = digest.hasher();
    hasher.update(b"ab");
    hasher.update(b"c");
    assert_eq!(hasher.finish(), digest);
}

#[test]
fn file_stem_round_trips() {
    let digest: Digest = EMPTY.parse().unwrap();
    assert_eq!(Digest::from_file_stem(&digest.file_stem()), Some(digest));
    assert_eq!(Digest::from_file_stem("sha256-../../etc/passwd"), None);
}

#[test]
fn refuses_what_is_not_a_digest() {
    let upper = EMPTY.to_uppercase().replace("SHA256", "sha256");
    assert_eq!(upper.parse::<Digest>(), Err(DigestError::Malformed(upper)));
    assert_eq!("md5:00".parse::<Digest>(), Err(DigestError::Algorithm("md5".into())));
    assert_eq!("abc".parse::<Digest>(), Err(DigestError::NoAlgorithm("abc".into())));
    assert_eq!("sha256:12".parse::<Digest>(), Err(DigestError::Malformed("sha256:12".into())));
}
