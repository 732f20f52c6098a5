//! The program `netvirt`.

mod cli;

fn main() -> std::process::ExitCode {
    cli::run()
}
