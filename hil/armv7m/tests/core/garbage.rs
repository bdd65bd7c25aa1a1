//! Whatever bytes a program is made of, and whatever it does to the core's own registers, the core goes on, and does the
//! same each time.

use armv7m::{Size, Stop};

use crate::bare::{Bare, CODE};
use crate::support::RAM;

fn mix(x: u64) -> u64 {
    let z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Blocks of the PPB that programs stray into.
const PLACES: [u32; 8] =
    [0xE000_E000, 0xE000_ED00, 0xE000_EF00, 0xE000_1000, 0xE000_2000, 0xE000_0000, 0xE000_0E00, 0xE004_0000];

struct Run {
    seed: u64,
    drawn: u64,
}

impl Run {
    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        mix(self.seed << 32 | self.drawn)
    }

    /// A value that is often the address of something.
    fn value(&mut self) -> u32 {
        let r = self.draw();
        match r >> 60 {
            0..4 => RAM + (r as u32 & 0x3_FFFC),
            4..8 => PLACES[(r >> 56) as usize & 7] + (r as u32 & 0xFC),
            8 => CODE + (r as u32 & 0x3FF),
            9 => 1 << (r & 31),
            _ => r as u32,
        }
    }
}

fn run(seed: u64) -> (u64, u64, Vec<u32>, Vec<u8>) {
    let mut random = Run { seed, drawn: 0 };
    let code: Vec<u16> = (0..0x400)
        .map(|_| {
            let r = random.draw() as u16;
            // Stores and loads by the low registers more often than chance has them.
            if random.draw() & 3 == 0 { 0x6000 | r & 0x1FFF } else { r }
        })
        .collect();
    let mut bare = Bare::new(&code);
    // A handler that goes on two bytes further: ldr r0, [sp, #24]; adds r0, #2; str r0, [sp, #24]; bx lr
    bare.put(0x300, &[0x9806, 0x3002, 0x9006, 0x4770]);
    let mut swo = Vec::new();
    for round in 0..60 {
        bare.write(0xE000_EDF0, 0xA05F_0003);
        for register in 0..17 {
            let value = match register {
                13 => RAM + 0x1_0000,
                15 => CODE + (random.draw() as u32 & 0x7FE),
                16 => 0x0100_0000,
                _ => random.value(),
            };
            bare.write(0xE000_EDF8, value);
            bare.write(0xE000_EDF4, 1 << 16 | register);
        }
        if round % 8 == 0 {
            // Out of what the last rounds have made of the core.
            let Bare { cpu, machine } = &mut bare;
            cpu.reset(machine, round % 16 == 0);
            bare.write(0xE000_ED24, 7 << 16);
        }
        let (addr, value) = (PLACES[random.draw() as usize & 7] + (random.draw() as u32 & 0xFC), random.value());
        let _ = bare.cpu.debug_write(&mut bare.machine, addr, Size::Word, value);
        bare.write(0xE000_EDF0, 0xA05F_0000);
        bare.cpu.set_irq(random.draw() as usize & 31, true);
        let until = bare.cpu.cycle() + 400;
        // A reset request stays until the owner sees to it.
        while bare.cpu.cycle() < until && bare.cpu.run(&mut bare.machine, until) != Stop::SystemReset {}
        swo.extend(bare.cpu.take_swo());
        swo.truncate(1 << 16);
    }
    let registers = (0..=18).chain([20, 33]).chain(64..96).map(|register| bare.cpu.register(register)).collect();
    (bare.cpu.cycle(), bare.cpu.instructions(), registers, swo)
}

#[test]
fn garbage_runs_and_runs_the_same_again() {
    for seed in 0..150 {
        println!("seed {seed}");
        assert_eq!(run(seed), run(seed));
    }
}
