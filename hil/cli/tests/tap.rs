//! The board on a TAP device of the host.

mod support;

use std::process::Command;

use support::{LiveBoard, board, texts};

/// Short: an interface's name has 15 characters at most.
const NAME: &str = "hil-test-tap";

fn ip(args: &[&str]) -> bool {
    Command::new("ip").args(args).output().is_ok_and(|output| output.status.success())
}

fn frames(direction: &str) -> u64 {
    let path = format!("/sys/class/net/{NAME}/statistics/{direction}_packets");
    std::fs::read_to_string(path).unwrap().trim().parse().unwrap()
}

#[test]
fn frames_go_both_ways_or_the_error_says_what_is_missing() {
    let args = ["--lan", &format!("tap:{NAME}")];
    let may = std::fs::File::options().read(true).write(true).open("/dev/net/tun").is_ok()
        && ip(&["tuntap", "add", NAME, "mode", "tap"]);
    if !may {
        eprintln!("skipped: no TAP device can be made here (no /dev/net/tun, no CAP_NET_ADMIN, or no `ip`)");
        let (_, err) = texts(&board(&[args[0], args[1], "--for", "1ms"]), 2);
        assert!(err.trim_end().lines().count() == 1 && err.contains("--lan tap:"), "{err}");
        return;
    }
    let live = LiveBoard::start(&args);
    assert!(ip(&["addr", "add", "10.54.77.1/24", "dev", NAME]) && ip(&["link", "set", NAME, "up"]));
    live.says("net: link up");
    // The firmware asks for an address; the host looks for a neighbour.
    let start = std::time::Instant::now();
    while frames("rx") == 0 {
        assert!(start.elapsed().as_secs() < 30, "nothing came from the board");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let _ = Command::new("ping").args(["-c", "1", "-W", "1", "10.54.77.2"]).output();
    let _ = std::net::UdpSocket::bind("10.54.77.1:0").and_then(|socket| socket.send_to(b"?", "10.54.77.2:9"));
    std::thread::sleep(std::time::Duration::from_secs(1));
    let (code, err) = live.interrupt();
    ip(&["tuntap", "del", NAME, "mode", "tap"]);
    assert_eq!(code, Some(0), "{err}");
    let count = |word: &str| -> u64 {
        let before = err.split(&format!(" {word}")).next().unwrap();
        before.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert!(count("sent") > 0 && count("received") > 0, "{err}");
}
