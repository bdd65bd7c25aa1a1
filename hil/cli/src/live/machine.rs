//! The board's owner: lets virtual time pass, serves requests in between, and shows what happens.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant as WallInstant};

use same54_sim::{Board, Event, EventKind};
use sim_base::{EthernetLink, Instant};

use super::LiveError;
use super::args::Action;
use super::console::{Console, describe};
use super::handle::{Client, Message};
use super::load::Program;
use super::logs::Logs;
use super::semihosting::{self, Served};
use super::serial::Serial;
use crate::board::LogLine;

/// Virtual time between two looks at the board.
const QUANTUM: Duration = Duration::from_millis(1);
/// The same while a debugger asks one thing after the other and waits for each.
const ATTENTIVE: Duration = Duration::from_micros(50);
/// Wall-clock time after its last request for which a debugger is taken to be busy.
const BUSY: Duration = Duration::from_millis(20);
/// Wall-clock time between two looks while the core stands still.
const STANDSTILL: Duration = Duration::from_millis(2);
/// How long a key presses the button.
const PRESS: Duration = Duration::from_millis(200);
/// A board that lags further behind real time than this starts anew from now.
const MAX_LAG: Duration = Duration::from_millis(200);

/// Something that watches the board after each stretch of time.
pub(super) trait Observer {
    /// `events` and `lines` (with the number of the program) are new since the last call.
    fn look(&mut self, board: &mut Board, events: &[Event], lines: &[(usize, LogLine)]);
    /// The run is over.
    fn finish(&mut self, board: &mut Board) -> Result<(), LiveError>;
}

/// Why the run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The time that was asked for is over.
    Limit,
    /// Somebody wants to stop.
    Stopped,
    /// The program exited with this status.
    Exit(u8),
    /// The core stands still, and nobody is there to let it go on.
    Stuck,
}

/// How a [`Machine`] is to run.
pub(super) struct Setup {
    pub limit: Option<Instant>,
    pub realtime: bool,
    /// Debuggers may come.
    pub is_served: bool,
    /// Longest stretch of virtual time between two looks.
    pub quantum: Option<Duration>,
    pub script: Vec<(Instant, Action)>,
}

/// See the [module](self).
pub(super) struct Machine {
    pub board: Board,
    programs: Vec<Program>,
    logs: Logs,
    pub console: Console,
    pub serial: Serial,
    observers: Vec<Box<dyn Observer>>,
    messages: Receiver<Message>,
    setup: Setup,
    script: VecDeque<(Instant, Action)>,
    unplugged: Option<Box<dyn EthernetLink>>,
    button: bool,
    /// Debuggers that are attached.
    debuggers: Vec<Client>,
    /// GDB has told its user that the program exited.
    exited: Option<u8>,
    /// When a debugger last asked for something.
    asked: Option<WallInstant>,
    /// Virtual and wall-clock time that are held together.
    anchor: (Instant, WallInstant),
    /// It has been said that the core stands still.
    stuck_told: bool,
}

impl Machine {
    /// Takes over a board that has its supply.
    pub fn new(
        board: Board,
        programs: Vec<Program>,
        messages: Receiver<Message>,
        setup: Setup,
    ) -> Result<Self, LiveError> {
        let logs = Logs::new(&programs).map_err(crate::error::Error::from)?;
        let anchor = (board.now(), WallInstant::now());
        let mut machine = Self {
            board,
            programs,
            logs,
            console: Console::new(),
            serial: Serial::default(),
            observers: Vec::new(),
            messages,
            script: setup.script.iter().cloned().collect(),
            setup,
            unplugged: None,
            button: false,
            debuggers: Vec::new(),
            exited: None,
            asked: None,
            anchor,
            stuck_told: false,
        };
        semihosting::attach(&mut machine.board);
        Ok(machine)
    }

    pub fn observe(&mut self, observer: Box<dyn Observer>) {
        self.observers.push(observer);
    }

    /// Runs until there is a reason to stop.
    pub fn run(&mut self) -> Result<End, LiveError> {
        self.look()?;
        let end = loop {
            while let Ok(message) = self.messages.try_recv() {
                if self.serve(message) {
                    return self.finish(End::Stopped);
                }
            }
            self.act()?;
            let now = self.board.now();
            if self.setup.limit.is_some_and(|limit| now >= limit) {
                break End::Limit;
            }
            if self.board.is_halted() || self.board.is_locked_up() {
                if let Some(end) = self.stand_still()? {
                    break end;
                }
                continue;
            }
            self.stuck_told = false;
            let next = self.next_look();
            self.board.run_until(next);
            self.look()?;
            if self.setup.realtime && self.pace() {
                break End::Stopped;
            }
        };
        self.finish(end)
    }

    fn finish(&mut self, end: End) -> Result<End, LiveError> {
        let end = match self.exited {
            Some(status) if end == End::Stopped => End::Exit(status),
            _ => end,
        };
        self.look()?;
        for observer in &mut self.observers {
            observer.finish(&mut self.board)?;
        }
        self.console.finish(self.board.now());
        Ok(end)
    }

    fn next_look(&self) -> Instant {
        let busy = self.asked.is_some_and(|asked| asked.elapsed() < BUSY);
        let quantum = if busy { ATTENTIVE } else { QUANTUM };
        let quantum = self.setup.quantum.map_or(quantum, |longest| longest.min(quantum));
        let mut next = self.board.now() + quantum;
        for other in [self.setup.limit, self.script.front().map(|(at, _)| *at)].into_iter().flatten() {
            next = next.min(other);
        }
        next
    }

    /// True: come to an end.
    fn serve(&mut self, message: Message) -> bool {
        match message {
            Message::Call(call) => {
                call(&mut self.board);
                self.asked = Some(WallInstant::now());
            }
            Message::Uart(bytes) => self.board.send_uart(&bytes),
            Message::Key(key) => return self.key(key),
            Message::Came(client) => self.debuggers.push(client),
            Message::Went(client) => {
                if let Some(index) = self.debuggers.iter().position(|known| *known == client) {
                    self.debuggers.swap_remove(index);
                }
                if self.debuggers.is_empty() {
                    // probe-rs switches halting debug off when it goes.
                    semihosting::attach(&mut self.board);
                }
            }
            Message::Exited(status) => {
                self.exited = Some(status);
                return true;
            }
            Message::Stop => return true,
        }
        false
    }

    fn key(&mut self, key: u8) -> bool {
        let now = self.board.now();
        match key {
            b'b' => {
                self.do_action(Action::Button(true));
                self.script.push_back((now + PRESS, Action::Button(false)));
                self.script.make_contiguous().sort_by_key(|(at, _)| *at);
            }
            b'B' => self.do_action(Action::Button(!self.button)),
            b'r' => self.do_action(Action::Reset),
            b'p' => self.do_action(Action::Power(!self.board.is_powered())),
            b'u' => self.do_action(Action::Plug(self.unplugged.is_some())),
            b'q' => return true,
            _ => super::console::note(super::keys::HELP),
        }
        false
    }

    /// Does what the script has for now.
    fn act(&mut self) -> Result<(), LiveError> {
        while self.script.front().is_some_and(|(at, _)| *at <= self.board.now()) {
            if let Some((_, action)) = self.script.pop_front() {
                self.do_action(action);
                self.look()?;
            }
        }
        Ok(())
    }

    fn do_action(&mut self, action: Action) {
        let now = self.board.now();
        match action {
            Action::Button(pressed) => {
                self.button = pressed;
                self.board.set_button(pressed);
                self.console.button(now, pressed);
            }
            Action::Reset => {
                self.board.set_nreset(true, false);
                self.board.set_nreset(false, false);
            }
            Action::Power(true) => self.board.power_on(),
            Action::Power(false) => self.board.power_off(),
            Action::Plug(true) => {
                if let Some(cable) = self.unplugged.take() {
                    self.board.plug_ethernet(cable);
                    self.console.remark(now, "Ethernet cable plugged");
                }
            }
            Action::Plug(false) => {
                if let Some(cable) = self.board.unplug_ethernet() {
                    self.unplugged = Some(cable);
                    self.console.remark(now, "Ethernet cable unplugged");
                }
            }
            Action::Uart(bytes) => self.board.send_uart(&bytes),
        }
        if self.debuggers.is_empty() {
            semihosting::attach(&mut self.board);
        }
    }

    /// Takes in what has happened.
    fn look(&mut self) -> Result<(), LiveError> {
        let now = self.board.now();
        let events = self.board.take_events();
        let programs: Vec<_> = self.programs.iter().map(|program| &program.image).collect();
        for event in &events {
            self.console.event(event, &programs);
        }
        // probe-rs reads the log itself; what one of the two takes is gone for the other.
        let is_read = self.debuggers.contains(&Client::ProbeRs);
        let lines = if is_read { Vec::new() } else { self.logs.poll(&mut self.board) };
        let many = self.programs.len() > 1;
        for (program, line) in &lines {
            let name = many.then(|| self.programs[*program].name.as_str());
            self.console.log(now, name, line);
        }
        if events.iter().any(|event| matches!(event.kind, EventKind::Reset(_))) {
            self.logs.reset();
            if self.debuggers.is_empty() {
                // Supply and the RESETN pin switch halting debug off.
                semihosting::attach(&mut self.board);
            }
        }
        let bytes = self.board.take_uart();
        if !bytes.is_empty() {
            self.console.uart(now, &bytes);
            self.serial.write(&bytes)?;
        }
        self.console.led(now, self.board.led());
        for observer in &mut self.observers {
            observer.look(&mut self.board, &events, &lines);
        }
        Ok(())
    }

    /// Whether the core waits for a semihosting call that is for us: probe-rs serves its own, GDB tells its user of an exit.
    fn serves_semihosting(&mut self) -> bool {
        !self.debuggers.contains(&Client::ProbeRs)
            && semihosting::is_call(&mut self.board)
            && (self.debuggers.is_empty() || semihosting::exit_status(&mut self.board).is_none())
    }

    /// The core is halted or locked up: a semihosting call is served, and a debugger is waited for.
    fn stand_still(&mut self) -> Result<Option<End>, LiveError> {
        if self.serves_semihosting() {
            let now = self.board.now();
            match semihosting::serve(&mut self.board) {
                Served::Text(text) => self.console.semihosting(now, &text),
                Served::Exit(status) => return Ok(Some(End::Exit(status))),
            }
            return Ok(None);
        }
        if self.debuggers.is_empty() && !self.stuck_told {
            self.stuck_told = true;
            let programs: Vec<_> = self.programs.iter().map(|program| &program.image).collect();
            let place = describe(&programs, self.board.register(15));
            let what = if self.board.is_locked_up() { "the core is locked up" } else { "the core is halted" };
            let advice = if self.setup.is_served { "; it waits for a debugger" } else { "" };
            self.console.remark(self.board.now(), &format!("{what} at {place}{advice}"));
            // Somebody may still do something about it: a key, the script, a watchdog.
            if !self.setup.is_served && self.script.is_empty() {
                return Ok(Some(End::Stuck));
            }
        }
        // Nothing is gained by haste: time passes as on the wall, so that virtual time does not run away.
        let wall = WallInstant::now();
        match self.messages.recv_timeout(STANDSTILL) {
            Ok(message) => {
                if self.serve(message) {
                    return Ok(Some(End::Stopped));
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(STANDSTILL),
        }
        let mut next = self.board.now() + wall.elapsed();
        if let Some((at, _)) = self.script.front() {
            next = next.min(*at);
        }
        self.board.run_until(next);
        self.look()?;
        Ok(None)
    }

    /// Waits until the wall clock has come as far as virtual time, serving requests meanwhile. True: come to an end.
    fn pace(&mut self) -> bool {
        loop {
            let (virtual_start, wall_start) = self.anchor;
            let (passed, wall) = (self.board.now() - virtual_start, wall_start.elapsed());
            if wall > passed + MAX_LAG {
                // Slower than real time, or held by a debugger: no race to catch up.
                self.anchor = (self.board.now(), WallInstant::now());
                return false;
            }
            let Some(ahead) = passed.checked_sub(wall).filter(|ahead| !ahead.is_zero()) else { return false };
            match self.messages.recv_timeout(ahead) {
                Ok(message) => {
                    if self.serve(message) {
                        return true;
                    }
                    if self.board.is_halted() {
                        return false;
                    }
                }
                Err(_) => return false,
            }
        }
    }
}
