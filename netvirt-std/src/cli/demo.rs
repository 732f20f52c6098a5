//! `netvirt demo`

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use netvirt_std::capture::CaptureWriter;
use netvirt_std::demo::{self, Attach, DemoError, Report, Stage};
use netvirt_std::policy_file::PolicyFile;

use super::{DemoArgs, Failure, policy};

/// Gives the demo, tells what happened, and whether all of it was as expected.
pub fn run(args: &DemoArgs, out: &mut impl Write) -> Result<(), Failure> {
    let (path, capture) = match &args.capture {
        Some(path) => (path.clone(), CaptureWriter::create(path)),
        None => (
            default_capture(),
            CaptureWriter::create_among_others(&default_capture()),
        ),
    };
    let capture = capture.map_err(|error| not_written(&error))?;
    let given = give(args, capture, out).inspect_err(|_| remove_file(&path));
    let report = given?;
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

fn give(
    args: &DemoArgs,
    capture: CaptureWriter<BufWriter<File>>,
    out: &mut impl Write,
) -> Result<Report, Failure> {
    let given = match choose(args, out)? {
        Some(stage) => demo::in_namespaces(stage, capture),
        None => {
            let file = PolicyFile::parse(demo::POLICY, "three-tenants.toml");
            demo::in_memory(&file.map_err(policy::found)?, capture)
        }
    };
    match given {
        Ok((report, _)) => Ok(report),
        Err(DemoError::Capture(error)) => Err(not_written(&error)),
        Err(error) => Err(Failure::Impossible(error.to_string())),
    }
}

/// Chooses the network, and says which it is.
fn choose(args: &DemoArgs, out: &mut impl Write) -> Result<Option<Stage>, Failure> {
    if args.in_memory {
        writeln!(out, "The network is in memory, its time simulated.\n")?;
        return Ok(None);
    }
    let stage = env::current_exe().and_then(|netvirt| Stage::build(demo::POLICY, netvirt));
    let stage = match stage {
        Ok(stage) => stage,
        Err(error) => {
            writeln!(
                out,
                "The network is in memory, its time simulated: namespaces are not permitted here ({error}).\n"
            )?;
            return Ok(None);
        }
    };
    let ports = match stage.attach() {
        Attach::Tap => "TAPs",
        Attach::Veth => "veth pairs",
    };
    writeln!(
        out,
        "Machines are network namespaces with the kernel's TCP/IP; {ports} join them to a switch a host.\n"
    )?;
    // The rest takes some seconds.
    out.flush()?;
    Ok(Some(stage))
}

/// Of a demo that was not given, no capture is left.
fn remove_file(path: &Path) {
    if path.is_file() {
        let _ = fs::remove_file(path);
    }
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
    env::temp_dir().join("netvirt-demo.pcapng")
}
