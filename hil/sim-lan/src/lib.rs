//! Virtual Ethernet with DHCP, DNS, NTP and TCP services.
