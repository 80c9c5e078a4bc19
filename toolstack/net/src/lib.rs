//! The pods' network: bridge, addresses, pinning, NAT and DNS.
