//! The one program: the command `goldpath`, and the steps by whose names it is called.

use goldpath::cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
