//! Raw bindings to libxl and libxenguest, made from the headers of the host.
