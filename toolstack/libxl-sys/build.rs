//! Makes the bindings from the headers of this host: libxenguest's interface changes between patch releases of one Xen.

use std::env;
use std::path::PathBuf;

/// All that is used; the rest of these libraries stays out.
const FUNCTIONS: &[&str] = &[
    // libxenguest: the CPU features a domain sees.
    "xc_cpuid_apply_policy",
    "xc_cpu_policy_(init|destroy|get_domain|set_domain)",
    // libxenforeignmemory: a domain's memory in ours.
    "xenforeignmemory_(open|close|map|unmap|map_resource|unmap_resource)",
    // libxl: only to leave what `xl list -l` reads, never on the path of a start.
    "libxl_ctx_(alloc|free)",
    "libxl_domain_config_(init|dispose|from_json|to_json)",
    "libxl_userdata_store",
    "free",
];
const VARIABLES: &[&str] = &["E820_.*", "HVM_PARAM_.*", "LIBXL_VERSION", "XENMEM_resource_grant_table.*"];
const TYPES: &[&str] =
    &["hvm_hw_cpu", "hvm_hw_mtrr", "hvm_save_descriptor", "hvm_save_header", "grant_entry_v1", "e820entry"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/wrapper.h");
    for library in ["xenguest", "xenforeignmemory", "xenlight"] {
        println!("cargo:rustc-link-lib=dylib={library}");
    }

    let mut builder = bindgen::Builder::default()
        .header("src/wrapper.h")
        // A value a newer library returns must not be undefined behaviour here, as it would be in a Rust enum.
        .default_enum_style(bindgen::EnumVariation::Consts)
        .derive_default(true)
        .layout_tests(true)
        .generate_comments(false)
        // One type for the handle, whoever opened it.
        .blocklist_type("xc_interface(_core)?")
        .raw_line("/// libxenctrl's handle, opaque.\npub type xc_interface = ::std::ffi::c_void;");
    for function in FUNCTIONS {
        builder = builder.allowlist_function(function);
    }
    for variable in VARIABLES {
        builder = builder.allowlist_var(variable);
    }
    for kind in TYPES {
        builder = builder.allowlist_type(kind);
    }
    let bindings = match builder.generate() {
        Ok(bindings) => bindings,
        Err(error) => panic!("cannot read Xen's headers (Debian: apt install libxen-dev libclang-dev): {error}"),
    };
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("bindings.rs");
    bindings.write_to_file(&out).unwrap_or_else(|error| panic!("{}: {error}", out.display()));
}
