//! Small ELF files for tests, made by hand: no compiler for Arm is needed.

/// ELF32, little endian, machine EM_ARM (40).
pub(crate) struct TestElf {
    machine: u16,
    sections: Vec<Section>,
    symbols: Vec<Symbol>,
}

struct Section {
    name: String,
    address: u32,
    loaded: bool,
    data: Vec<u8>,
}

struct Symbol {
    name: String,
    address: u32,
    size: u32,
    /// Type in the low nibble (1 object, 2 function); always global.
    kind: u8,
    section: u16,
}

/// Thumb code with a vector table at address 0. Reset goes to 0xF4 and from there to `main` at 0x100, which is `code`;
/// every other exception ends at 0xF0.
pub(crate) fn image(code: &[u16]) -> Vec<u8> {
    let mut bytes = vec![0; 0x100];
    bytes[..4].copy_from_slice(&0x2001_0000_u32.to_le_bytes());
    for vector in 1..16 {
        let handler: u32 = if vector == 1 { 0xF5 } else { 0xF1 };
        bytes[4 * vector..][..4].copy_from_slice(&handler.to_le_bytes());
    }
    for (at, half) in [(0xF0, 0xE7FE_u16), (0xF4, 0xE004)] {
        bytes[at..at + 2].copy_from_slice(&half.to_le_bytes());
    }
    bytes.extend(code.iter().flat_map(|half| half.to_le_bytes()));
    // probe-rs verifies in words.
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

impl TestElf {
    pub(crate) fn new() -> Self {
        Self { machine: 40, sections: Vec::new(), symbols: Vec::new() }
    }

    /// A program of `code` with `main` at its start.
    pub(crate) fn program(code: &[u16]) -> Self {
        let mut elf = Self::new();
        let text = elf.section(".text", 0, true, &image(code));
        elf.symbol("main", 0x101, 2 * code.len() as u32, 2, text);
        elf
    }

    pub(crate) fn machine(mut self, machine: u16) -> Self {
        self.machine = machine;
        self
    }

    /// Adds a section and returns its index.
    pub(crate) fn section(&mut self, name: &str, address: u32, loaded: bool, data: &[u8]) -> u16 {
        self.sections.push(Section { name: name.to_owned(), address, loaded, data: data.to_vec() });
        self.sections.len() as u16
    }

    pub(crate) fn symbol(&mut self, name: &str, address: u32, size: u32, kind: u8, section: u16) {
        self.symbols.push(Symbol { name: name.to_owned(), address, size, kind, section });
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        const HEADER: usize = 52;
        const PROGRAM_HEADER: usize = 32;
        let loads = self.sections.iter().filter(|section| section.loaded).count();
        let mut body: Vec<u8> = Vec::new();
        let align = |body: &mut Vec<u8>| body.resize(body.len().next_multiple_of(4), 0);
        let start = HEADER + loads * PROGRAM_HEADER;
        let mut names = vec![0];
        let mut headers: Vec<[u32; 10]> = vec![[0; 10]];
        let mut name = |text: &str| {
            let at = names.len() as u32;
            names.extend(text.bytes().chain([0]));
            at
        };
        for section in &self.sections {
            let flags = if section.loaded { 2 } else { 0 };
            let offset = (start + body.len()) as u32;
            headers.push([
                name(&section.name),
                1,
                flags,
                section.address,
                offset,
                section.data.len() as u32,
                0,
                0,
                4,
                0,
            ]);
            body.extend(&section.data);
            align(&mut body);
        }
        let mut strings = vec![0];
        let mut symbols = vec![0; 16];
        for symbol in &self.symbols {
            let at = strings.len() as u32;
            strings.extend(symbol.name.bytes().chain([0]));
            for word in [at, symbol.address, symbol.size] {
                symbols.extend(word.to_le_bytes());
            }
            symbols.extend([0x10 | symbol.kind, 0]);
            symbols.extend(symbol.section.to_le_bytes());
        }
        let table = headers.len() as u32;
        let offset = (start + body.len()) as u32;
        // Link: the string table comes next; info: the first global symbol.
        headers.push([name(".symtab"), 2, 0, 0, offset, symbols.len() as u32, table + 1, 1, 4, 16]);
        body.extend(symbols);
        let offset = (start + body.len()) as u32;
        headers.push([name(".strtab"), 3, 0, 0, offset, strings.len() as u32, 0, 0, 1, 0]);
        body.extend(strings);
        let own = name(".shstrtab");
        let offset = (start + body.len()) as u32;
        headers.push([own, 3, 0, 0, offset, names.len() as u32, 0, 0, 1, 0]);
        body.extend(&names);
        align(&mut body);
        let section_headers = (start + body.len()) as u32;

        let mut elf = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        let half = |elf: &mut Vec<u8>, value: u16| elf.extend(value.to_le_bytes());
        half(&mut elf, 2);
        half(&mut elf, self.machine);
        for word in [1, 0x101, HEADER as u32, section_headers, 0x0500_0000_u32] {
            elf.extend(word.to_le_bytes());
        }
        for value in [HEADER, PROGRAM_HEADER, loads, 40, headers.len(), headers.len() - 1] {
            half(&mut elf, value as u16);
        }
        for (section, header) in self.sections.iter().zip(&headers[1..]) {
            if section.loaded {
                let [_, _, _, address, offset, len, ..] = *header;
                for word in [1, offset, address, address, len, len, 5, 4] {
                    elf.extend(u32::to_le_bytes(word));
                }
            }
        }
        elf.extend(body);
        elf.extend(headers.iter().flatten().flat_map(|word| word.to_le_bytes()));
        elf
    }
}
