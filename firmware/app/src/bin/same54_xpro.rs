//! The application on the SAM E54 Xplained Pro: binds tasks to drivers and executors.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod board {
    use core::mem::MaybeUninit;
    use core::sync::atomic::{AtomicBool, Ordering};

    use app::cloud::{self, Buffers, Parts};
    use app::download::Downloads;
    use app::net::{self, Port};
    use app::settings::{Settings, record_len};
    use app::storage::Storage;
    use app::{VERSION, entropy, heartbeat, supervision, wall_clock};
    use defmt::{error, info, warn};
    use defmt_rtt as _;
    use device_tls::{Config, Platform};
    use embassy_executor::{SendSpawner, Spawner};
    use embassy_net::StackResources;
    use embedded_alloc::LlffHeap;
    use embedded_storage::nor_flash::ReadNorFlash;
    use same54::SleepDelay;
    use same54::gmac::{Gmac, Link, LinkMode};
    use same54::led::Led;
    use same54::watchdog::Watchdog;
    use same54::{Board, Nor, Nvm, identity};
    use static_cell::{ConstStaticCell, StaticCell};
    use update_image::boot_record::{BootRecord, Status};
    use update_image::layout::PROVISIONING;

    extern crate alloc;

    defmt::timestamp!("{=u64:us}", embassy_time::Instant::now().as_micros());

    /// The TLS handshake needs about 30 KB, a large record 16 KB, the file system 2 KB.
    const HEAP_LEN: usize = 64 * 1024;

    #[global_allocator]
    static HEAP: LlffHeap = LlffHeap::empty();

    /// Sockets of the network stack: DHCP, DNS, time, two ports, one to spare.
    const SOCKETS: usize = 6;

    static HUB_PORT: Port = Port::new();
    static FILE_PORT: Port = Port::new();
    static DOWNLOADS: Downloads = Downloads::new();
    static PLATFORM: Platform = Platform { random: entropy::fill, unix_time: wall_clock::unix_time };

    type Storages = Storage<Nor<SleepDelay>>;

    fn start_heap() {
        static MEMORY: StaticCell<[MaybeUninit<u8>; HEAP_LEN]> = StaticCell::new();
        let memory = MEMORY.uninit();
        #[allow(unsafe_code, reason = "the allocator has to be given its memory")]
        // SAFETY: the memory is a static that nobody else has, and this runs once: the cell panics the second time.
        unsafe {
            HEAP.init(memory.as_mut_ptr() as usize, HEAP_LEN)
        }
    }

    #[embassy_executor::main(entry = "cortex_m_rt::entry")]
    async fn main(spawner: Spawner) {
        start_heap();
        let mut board = defmt::unwrap!(Board::take());
        let (rtc_source, delay) = same54::time::start(board.rtc, board.delay, &mut board.nvic);
        info!("boot: {} after {}, time from {}", VERSION, board.reset_cause.as_str(), rtc_source);
        if !board.brown_out_guarded {
            warn!("boot: brown-out detector is off");
        }
        let mut seed = [0; 32];
        board.trng.fill(&mut seed);
        entropy::seed(seed);
        // A hang must not last, trial or not.
        board.watchdog.start_16_s();

        let mut nvm = Nvm::new(board.nvmctrl, delay);
        let settings = read_settings(&mut nvm);
        let boot = BootRecord::open(nvm);
        report_boot(boot.status());

        let mac = settings.and_then(|settings| settings.mac).unwrap_or_else(identity::local_mac);
        let (gmac, link) = Gmac::new(board.ethernet, mac, &mut board.nvic);
        let urgent = same54::executor::start(&mut board.nvic);
        start_urgent(urgent, gmac, link, board.led, board.watchdog, settings.map(|settings| settings.ntp_host));

        if let Status::Trial(_) = boot.status() {
            supervision::trial_begins();
        }
        let Some(settings) = settings else { return supervision::no_cloud() };
        let flash = match Nor::new(board.qspi, delay) {
            Ok(flash) => Some(flash),
            Err(error) => {
                warn!("storage: external flash: {}", error);
                None
            }
        };
        static STORAGE: StaticCell<Storages> = StaticCell::new();
        let storage: &'static Storages = STORAGE.init(Storage::open(flash));
        match Config::new(&PLATFORM, settings.authorities()) {
            Ok(tls) => {
                spawner.spawn(defmt::unwrap!(download(storage, settings.gateway)));
                spawner.spawn(defmt::unwrap!(cloud_task(settings, tls, storage, boot)));
            }
            Err(_) => {
                warn!("provisioning: a CA certificate is malformed");
                supervision::no_cloud();
            }
        }
    }

    /// Says which calls led here; `addr2line` makes lines of the addresses. To look at the message or the location instead
    /// would keep 75 KB of texts, formatting and arguments in the program. Several panics of one function may share
    /// one call, so the line can be that of a neighbour.
    #[panic_handler]
    fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
        static PANICKED: AtomicBool = AtomicBool::new(false);
        cortex_m::interrupt::disable();
        // Logging can panic too.
        if !PANICKED.load(Ordering::Relaxed) {
            PANICKED.store(true, Ordering::Relaxed);
            let mut sites = [0; 16];
            error!("panic, called from {=[?]:#x}", same54::backtrace(&mut sites));
        }
        // A debugger that catches faults stops here. Without one the watchdog resets the chip.
        cortex_m::asm::udf()
    }

    /// Copies the provisioning record out of flash; it is used as long as the program runs.
    fn read_settings(nvm: &mut Nvm<SleepDelay>) -> Option<&'static Settings<'static>> {
        static SETTINGS: StaticCell<Settings<'static>> = StaticCell::new();
        let place = nvm.mapped(PROVISIONING.start, PROVISIONING.len as usize)?;
        let len = match Settings::parse(place) {
            Ok(_) => record_len(place),
            Err(error) => {
                warn!("provisioning: {}", error.as_str());
                return None;
            }
        };
        let mut copy = alloc::vec![0; len];
        nvm.read(PROVISIONING.start, &mut copy).ok()?;
        let settings = Settings::parse(copy.leak()).ok()?;
        Some(SETTINGS.init(settings))
    }

    fn report_boot(status: Status) {
        match status {
            Status::Confirmed => info!("boot: {} confirmed", VERSION),
            Status::Trial(starts) => info!("boot: {} on trial, start {}", VERSION, starts),
            Status::RolledBack { from, cause } => {
                warn!("boot: rolled back from {}.{}.{}: {}", from.major, from.minor, from.revision, cause.as_str())
            }
            Status::Refused { cause } => warn!("boot: image refused: {}", cause.as_str()),
        }
    }

    /// Starts what must go on while thread mode computes or waits for flash.
    fn start_urgent(
        spawner: SendSpawner,
        gmac: Gmac,
        link: Link,
        led: Led,
        watchdog: Watchdog,
        ntp_host: Option<&'static str>,
    ) {
        spawner.spawn(defmt::unwrap!(phy(link)));
        spawner.spawn(defmt::unwrap!(heart(led)));
        spawner.spawn(defmt::unwrap!(feed(watchdog)));
        spawner.spawn(defmt::unwrap!(network(gmac, ntp_host)));
    }

    #[embassy_executor::task]
    async fn phy(link: Link) -> ! {
        link.run(|mode| match mode {
            Some(LinkMode { fast, full_duplex }) => info!(
                "net: link up, {} Mbit/s {} duplex",
                if fast { 100 } else { 10 },
                if full_duplex { "full" } else { "half" }
            ),
            None => info!("net: link down"),
        })
        .await
    }

    #[embassy_executor::task]
    async fn heart(mut led: Led) -> ! {
        heartbeat::run(|| led.toggle()).await
    }

    #[embassy_executor::task]
    async fn feed(mut watchdog: Watchdog) -> ! {
        supervision::run(|| watchdog.feed()).await
    }

    /// Makes the network stack where it is going to live: it must not be shared between executors.
    #[embassy_executor::task]
    async fn network(gmac: Gmac, ntp_host: Option<&'static str>) {
        #[allow(unsafe_code, reason = "the only way to an interrupt executor's local spawner")]
        // SAFETY: this is an embassy task, so the context is one that an embassy executor made.
        let spawner = unsafe { Spawner::for_current_executor() }.await;
        static RESOURCES: ConstStaticCell<StackResources<SOCKETS>> = ConstStaticCell::new(StackResources::new());
        let seed = u64::from(entropy::number()) << 32 | u64::from(entropy::number());
        let config = embassy_net::Config::dhcpv4(Default::default());
        let (stack, runner) = embassy_net::new(gmac, config, RESOURCES.take(), seed);
        spawner.spawn(defmt::unwrap!(run_stack(runner)));
        spawner.spawn(defmt::unwrap!(address(stack)));
        spawner.spawn(defmt::unwrap!(serve(stack, &HUB_PORT)));
        spawner.spawn(defmt::unwrap!(serve(stack, &FILE_PORT)));
        if let Some(host) = ntp_host {
            spawner.spawn(defmt::unwrap!(keep_time(stack, host)));
        }
    }

    #[embassy_executor::task]
    async fn run_stack(mut runner: embassy_net::Runner<'static, Gmac>) -> ! {
        runner.run().await
    }

    #[embassy_executor::task]
    async fn address(stack: embassy_net::Stack<'static>) -> ! {
        net::watch_address(stack).await
    }

    #[embassy_executor::task(pool_size = 2)]
    async fn serve(stack: embassy_net::Stack<'static>, port: &'static Port) -> ! {
        net::serve(stack, port).await
    }

    #[embassy_executor::task]
    async fn keep_time(stack: embassy_net::Stack<'static>, host: &'static str) -> ! {
        net::keep_time(stack, host).await
    }

    #[embassy_executor::task]
    async fn download(storage: &'static Storages, gateway: Option<&'static str>) -> ! {
        DOWNLOADS.run(storage, &FILE_PORT, gateway).await
    }

    #[embassy_executor::task]
    async fn cloud_task(
        settings: &'static Settings<'static>,
        tls: Config,
        storage: &'static Storages,
        boot: BootRecord<Nvm<SleepDelay>>,
    ) {
        static BUFFERS: ConstStaticCell<Buffers> = ConstStaticCell::new(Buffers::new());
        let parts = Parts {
            settings,
            tls,
            port: &HUB_PORT,
            storage,
            boot,
            downloads: &DOWNLOADS,
            buffers: BUFFERS.take(),
            reset: same54::system_reset,
        };
        if cloud::run(parts).await.is_err() {
            warn!("provisioning: manufacturer or model is empty or too long");
            supervision::no_cloud();
        }
    }
}

/// The host builds this crate for its tests alone.
#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this program runs on a board: build it for thumbv7em-none-eabihf");
}
