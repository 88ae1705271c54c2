//! A link with latency: two TUN devices, one at each end, and every packet handed over some milliseconds after it came.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tun_rs::{DeviceBuilder, SyncDevice};

/// Larger than any packet that a TUN device of the usual MTU hands out.
const LARGEST_PACKET: usize = 65_536;

#[derive(clap::Args)]
pub struct Options {
    /// How late each packet is, in each direction
    #[arg(long, default_value_t = 20)]
    millis: u64,
    /// Name of the TUN device, the same at both ends; its addresses and routes are the caller's
    #[arg(long, default_value = "delay")]
    device: String,
    /// The network namespace of one end, such as /run/netns/NAME
    near: PathBuf,
    /// The network namespace of the other end
    far: PathBuf,
}

/// Carries packets until an end is gone. Prints `ready` once it does.
pub fn run(options: &Options) -> io::Result<()> {
    let near = Arc::new(open_in(&options.near, &options.device)?);
    let far = Arc::new(open_in(&options.far, &options.device)?);
    let delay = Duration::from_millis(options.millis);
    writeln!(io::stdout(), "ready")?;

    let back = {
        let (from, to) = (Arc::clone(&far), Arc::clone(&near));
        thread::spawn(move || carry(&from, &to, delay))
    };
    carry(&near, &far, delay)?;
    back.join().expect("carry does not panic")
}

/// Opens a device of another network namespace, from a thread of its own, because a thread cannot go back.
fn open_in(namespace: &Path, device: &str) -> io::Result<SyncDevice> {
    let (namespace, device) = (File::open(namespace)?, device.to_owned());
    thread::spawn(move || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        DeviceBuilder::new().name(device).build_sync()
    })
    .join()
    .expect("opening a device does not panic")
}

/// Reads packets as they come and writes each when it is due, in order.
fn carry(from: &SyncDevice, to: &Arc<SyncDevice>, delay: Duration) -> io::Result<()> {
    let (queue, due) = mpsc::channel::<(Instant, Vec<u8>)>();
    let to = Arc::clone(to);
    thread::spawn(move || {
        for (time, packet) in due {
            thread::sleep(time.saturating_duration_since(Instant::now()));
            // A link may lose packets, for instance while the other end is not up.
            let _ = to.send(&packet);
        }
    });
    let mut packet = vec![0; LARGEST_PACKET];
    loop {
        let length = from.recv(&mut packet)?;
        let late = (Instant::now() + delay, packet[..length].to_vec());
        if queue.send(late).is_err() {
            return Ok(());
        }
    }
}
