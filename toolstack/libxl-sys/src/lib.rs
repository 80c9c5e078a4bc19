//! Raw bindings to libxl, libxenguest and libxenforeignmemory, made from the headers of the host.
//!
//! Only what xenpod calls; see `build.rs` for the list. C's enums are plain integers here. libxenctrl itself is bound by
//! the crate `xenctrl-sys`, whose `xc_interface` is passed to these functions as an opaque pointer.

// Raw bindings: everything in them is unsafe to call, named as in C, and documented in Xen's headers.
#![allow(unsafe_code, missing_docs, non_camel_case_types, non_upper_case_globals, non_snake_case)]
#![allow(clippy::all, clippy::undocumented_unsafe_blocks, unsafe_op_in_unsafe_fn)]

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
