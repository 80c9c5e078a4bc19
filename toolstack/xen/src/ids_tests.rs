use super::*;

const TEXT: &str = "0c35a5d3-9d5c-4e0e-8a52-6d3a5f1f2b11";

#[test]
fn a_uuid_reads_and_writes_the_same_text() {
    let uuid: DomainUuid = TEXT.parse().unwrap();
    assert_eq!(uuid.as_bytes()[..4], [0x0c, 0x35, 0xa5, 0xd3]);
    assert_eq!(uuid.to_string(), TEXT);
    assert_eq!(format!("{uuid:?}"), format!("DomainUuid({TEXT})"));
}

#[test]
fn other_spellings_of_a_uuid_are_refused() {
    for text in [TEXT.to_uppercase(), TEXT.replace('-', ""), format!("{{{TEXT}}}"), format!("urn:uuid:{TEXT}")] {
        let error = text.parse::<DomainUuid>().unwrap_err().to_string();
        assert!(error.contains(&format!("{text:?}")) && error.contains("lower case"), "{error}");
    }
    assert!("".parse::<DomainUuid>().unwrap_err().to_string().starts_with("domain UUID \"\""));
}

#[test]
fn random_uuids_are_version_4_and_differ() {
    let (one, two) = (DomainUuid::random(), DomainUuid::random());
    assert_ne!(one, two);
    assert_eq!(one.as_bytes()[6] >> 4, 4);
}

#[test]
fn domain_numbers_parse_strictly() {
    assert_eq!("17".parse(), Ok(Domid(17)));
    assert_eq!("32752".parse::<Domid>(), Err(ParseDomidError::Reserved(32752)));
    assert!("-1".parse::<Domid>().unwrap_err().to_string().contains("\"-1\""));
    assert!("70000".parse::<Domid>().unwrap_err().to_string().contains("too large"));
}

#[test]
fn a_reference_names_both() {
    let reference = DomainRef { domid: Domid(3), uuid: TEXT.parse().unwrap() };
    assert_eq!(reference.to_string(), format!("3 ({TEXT})"));
}
