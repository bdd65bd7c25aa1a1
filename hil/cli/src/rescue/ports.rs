//! Which serial port a debug probe has (Linux: sysfs).

use std::path::{Path, PathBuf};

use super::RescueError;

/// USB ids of the EDBG on the board.
const EDBG: (u16, u16) = (0x03EB, 0x2111);

/// The port of the one EDBG that is plugged in.
pub(super) fn find_edbg() -> Result<PathBuf, RescueError> {
    find(EDBG.0, EDBG.1, None)
}

/// The port of a USB device.
pub(super) fn find(vendor: u16, product: u16, serial: Option<&str>) -> Result<PathBuf, RescueError> {
    find_in(Path::new("/sys/class/tty"), vendor, product, serial)
}

fn find_in(class: &Path, vendor: u16, product: u16, serial: Option<&str>) -> Result<PathBuf, RescueError> {
    let what = format!("{vendor:04x}:{product:04x}{}", serial.map(|serial| format!(":{serial}")).unwrap_or_default());
    let mut ports: Vec<PathBuf> = std::fs::read_dir(class)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            // `device` is the USB interface; the device is above it.
            let Ok(interface) = entry.path().join("device").canonicalize() else { return false };
            let Some(device) = interface.parent() else { return false };
            let says = |name: &str| std::fs::read_to_string(device.join(name)).unwrap_or_default();
            let number = |name| u16::from_str_radix(says(name).trim(), 16).ok();
            number("idVendor") == Some(vendor)
                && number("idProduct") == Some(product)
                && serial.is_none_or(|serial| says("serial").trim() == serial)
        })
        .map(|entry| Path::new("/dev").join(entry.file_name()))
        .collect();
    ports.sort();
    match &ports[..] {
        [] => Err(RescueError::NoPort { what }),
        [port] => Ok(port.clone()),
        _ => {
            let ports = ports.iter().map(|port| port.display().to_string()).collect::<Vec<_>>().join(", ");
            Err(RescueError::ManyPorts { what, ports })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder as the kernel has it for two EDBGs, another USB adapter and a port without USB.
    fn class() -> PathBuf {
        let root = std::env::temp_dir().join(format!("hil-ports-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        for (port, usb) in [
            ("ttyACM0", Some(("03eb", "2111", "ATML1"))),
            ("ttyACM1", Some(("03eb", "2111", "ATML2"))),
            ("ttyUSB0", Some(("0403", "6001", "A1"))),
            ("ttyS0", None),
        ] {
            fs::create_dir_all(root.join("class").join(port)).unwrap();
            let Some((vendor, product, serial)) = usb else { continue };
            let interface = root.join("usb").join(port).join("1-1:1.1");
            fs::create_dir_all(&interface).unwrap();
            for (name, value) in [("idVendor", vendor), ("idProduct", product), ("serial", serial)] {
                fs::write(interface.parent().unwrap().join(name), format!("{value}\n")).unwrap();
            }
            symlink(&interface, root.join("class").join(port).join("device")).unwrap();
        }
        root
    }

    #[test]
    fn a_port_is_found_by_the_ids_of_its_usb_device() {
        let root = class();
        let find = |vendor, product, serial| {
            find_in(&root.join("class"), vendor, product, serial).map_err(|error| error.to_string())
        };
        assert_eq!(find(0x03EB, 0x2111, Some("ATML2")).unwrap(), Path::new("/dev/ttyACM1"));
        assert_eq!(find(0x0403, 0x6001, None).unwrap(), Path::new("/dev/ttyUSB0"));
        assert!(find(0x03EB, 0x2111, None).unwrap_err().contains("/dev/ttyACM0, /dev/ttyACM1; choose one"));
        assert!(
            find(0x03EB, 0x2111, Some("ATML3")).unwrap_err().starts_with("no serial port of 03eb:2111:ATML3 found")
        );
        assert!(find_in(Path::new("/nowhere"), 1, 2, None).is_err());
        fs::remove_dir_all(root).unwrap();
    }
}
