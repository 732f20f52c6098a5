//! `netvirt demo`

use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use netvirt_std::capture::CaptureWriter;
use netvirt_std::demo;
use netvirt_std::policy_file::PolicyFile;

use super::{Failure, policy};

/// Gives the demo, tells what happened, and whether all of it was as expected.
pub fn run(capture: Option<&Path>, out: &mut impl Write) -> Result<(), Failure> {
    let file = PolicyFile::parse(demo::POLICY, "three-tenants.toml").map_err(policy::found)?;
    let path = capture.map_or_else(default_capture, Path::to_path_buf);
    let capture = CaptureWriter::create(&path).map_err(|error| not_written(&error))?;
    let (report, _) = demo::run(&file, capture).map_err(|error| not_written(&error))?;
    write!(out, "{report}")?;
    write_where(&path, out)?;
    let (failed, all) = (report.failed(), report.expectations());
    if failed > 0 {
        out.flush()?;
        let message = format!("{failed} of {all} expectations failed: see ✗ above");
        return Err(Failure::Found(message));
    }
    writeln!(out, "\nAll {all} expectations held.")?;
    Ok(())
}

fn not_written(error: &dyn Error) -> Failure {
    Failure::Impossible(format!(
        "{error}\nAnother place for the capture: netvirt demo --capture FILE.pcapng"
    ))
}

/// Where the capture is, and how to look at the beginning of every TCP connection in it: tunnelled ones have a key.
fn write_where(path: &Path, out: &mut impl Write) -> io::Result<()> {
    let path = path.display();
    writeln!(
        out,
        "\nEvery frame of the wire is in {path}. Every TCP connection in it, and its tunnel:\n"
    )?;
    writeln!(
        out,
        "  tshark -r {path} -Y tcp.flags.syn==1 -T fields -e ip.src -e ip.dst -e gre.key"
    )
}

fn default_capture() -> PathBuf {
    std::env::temp_dir().join("netvirt-demo.pcapng")
}
