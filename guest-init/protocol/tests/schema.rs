//! `src/generated.rs` is what `xenpod-guest.proto` says.
use std::path::Path;

/// Rust source of the schema, made without protoc.
fn generate() -> String {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = protox::compile(["xenpod-guest.proto"], [here]).expect("the schema compiles");
    let out = tempdir();
    prost_build::Config::new().btree_map(["."]).out_dir(&out).compile_fds(files).expect("the schema generates");
    let text = std::fs::read_to_string(out.join("xenpod.guest.rs")).expect("the generated file");
    std::fs::remove_dir_all(&out).expect("the temporary folder goes");
    text
}

fn tempdir() -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("xenpod-schema-{}", std::process::id()));
    std::fs::create_dir_all(&path).expect("a temporary folder");
    path
}

/// To take a change of the schema over: `XENPOD_BLESS=1 cargo test -p xenpod-protocol --test schema`.
#[test]
fn generated_types_are_the_schema() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/generated.rs");
    let fresh = generate();
    if std::env::var_os("XENPOD_BLESS").is_some() {
        std::fs::write(&committed, &fresh).expect("src/generated.rs is writable");
    }
    let text = std::fs::read_to_string(&committed).expect("src/generated.rs");
    assert!(text == fresh, "src/generated.rs is not what xenpod-guest.proto gives: run this test with XENPOD_BLESS=1");
}
