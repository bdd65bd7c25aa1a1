//! `hil`: see the library's documentation and `hil --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    hil::cli::main()
}
