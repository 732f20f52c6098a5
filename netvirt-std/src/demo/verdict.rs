//! What must hold of the network as a whole, from what was counted and what was seen.

use netvirt_core::datapath::DropReason;

use super::attempt::Finding;
use super::cast::MachineConfig;
use super::network::HostReport;
use super::witness::{OnWire, Origin, Witness, by_reason};
use crate::counters::CounterReport;

/// Judges the whole run.
pub fn overall(
    hosts: &[HostReport],
    machines: &[MachineConfig],
    witness: &Witness,
) -> Vec<Finding> {
    vec![
        isolation(machines, witness),
        every_arrival_known(witness),
        wire_clean(witness),
        held_frames_sent(hosts),
        counters_add_up(hosts),
        refusals_counted(hosts, witness),
        nothing_lost(hosts, witness),
    ]
}

fn finding(what: &str, expected: &str, seen: String, held: bool) -> Finding {
    Finding {
        held,
        what: what.to_owned(),
        expected: expected.to_owned(),
        seen,
        wire: String::new(),
    }
}

/// No frame of one tenant reached a port of another, and none of an intruder any.
fn isolation(machines: &[MachineConfig], witness: &Witness) -> Finding {
    let tenant_at = |machine: usize| machines.get(machine).map(|machine| &machine.tenant);
    let is_foreign = |origin: &Origin, at: usize| match origin {
        Origin::Tenant(tenant) => Some(tenant) != tenant_at(at),
        Origin::Intruder => true,
        Origin::Host | Origin::Unknown => false,
    };
    let from_machines = |origin: &Origin| matches!(origin, Origin::Tenant(_) | Origin::Intruder);
    let sum = |wanted: &dyn Fn(&Origin, usize) -> bool| -> u64 {
        let arrivals = witness
            .arrived
            .iter()
            .filter(|((origin, at), _)| wanted(origin, *at));
        arrivals.map(|(_, frames)| frames).sum()
    };
    let inspected = sum(&|origin, _| from_machines(origin));
    let foreign = sum(&is_foreign);
    finding(
        "tenants never met",
        "no frame reached a machine of another tenant",
        format!("{foreign} of {inspected} frames reached a machine of another"),
        foreign == 0 && inspected > 0,
    )
}

fn every_arrival_known(witness: &Witness) -> Finding {
    let unknown = witness
        .arrived
        .iter()
        .filter(|((origin, _), _)| *origin == Origin::Unknown);
    let unknown: u64 = unknown.map(|(_, frames)| frames).sum();
    let (ambiguous, missed) = (witness.ambiguous, witness.missed);
    let mut seen = format!("{unknown} of unknown origin, {ambiguous} sent alike by two tenants");
    if missed > 0 {
        seen += &format!(", {missed} not seen for want of room");
    }
    finding(
        "every arrival was somebody's",
        "no frame of unknown origin, none that two tenants sent alike",
        seen,
        unknown == 0 && ambiguous == 0 && missed == 0,
    )
}

fn wire_clean(witness: &Witness) -> Finding {
    let total: u64 = witness.wire.values().sum();
    let unknown = witness.wire.get(&OnWire::Unknown).copied().unwrap_or(0);
    let for_nobody = witness.for_nobody;
    finding(
        "nothing strange on the wire",
        "every frame a tenant's, ARP or the intruder's, and for a host",
        format!("{unknown} of {total} frames were of no tenant, {for_nobody} for no host"),
        unknown == 0 && for_nobody == 0,
    )
}

fn held_frames_sent(hosts: &[HostReport]) -> Finding {
    let held: u64 = hosts.iter().map(|host| host.counted.held).sum();
    let sent: u64 = hosts.iter().map(released).sum();
    finding(
        "what waited for a next hop was sent",
        "all that was held, and at least one frame on each host",
        format!("{sent} of {held} held frames"),
        held == sent && hosts.iter().all(|host| released(host) > 0),
    )
}

fn released(host: &HostReport) -> u64 {
    host.counted.released.unwrap_or(0)
}

fn counters_add_up(hosts: &[HostReport]) -> Finding {
    let wrong = hosts.iter().filter(|host| !add_up(&host.counted)).count();
    finding(
        "counters add up",
        "received = delivered + transmitted + replicated + replied + punted + held + dropped on every host",
        format!(
            "received = sum of all outcomes on {} of {} hosts",
            hosts.len() - wrong,
            hosts.len()
        ),
        wrong == 0 && !hosts.is_empty(),
    )
}

const fn add_up(counted: &CounterReport) -> bool {
    let CounterReport {
        received,
        delivered,
        transmitted,
        replicated,
        replied,
        punted,
        held,
        dropped,
        ..
    } = counted;
    *received == *delivered + *transmitted + *replicated + *replied + *punted + *held + *dropped
}

fn refusals_counted(hosts: &[HostReport], witness: &Witness) -> Finding {
    let seen = by_reason(witness.all_refused());
    let mut counted = 0;
    let mut differences = 0;
    for (number, host) in hosts.iter().enumerate() {
        for reason in DropReason::ALL {
            let frames = host.refused(*reason);
            counted += frames;
            differences += u64::from(frames != seen.get(&(number, *reason)).copied().unwrap_or(0));
        }
    }
    let noted: u64 = seen.values().sum();
    finding(
        "every refusal is counted once",
        "the counters of reasons say what was seen, on every host",
        format!(
            "{counted} by the counters of reasons, {noted} seen, {differences} counters differ"
        ),
        differences == 0,
    )
}

/// What machines and wire brought to the hosts is what the hosts say that they received.
fn nothing_lost(hosts: &[HostReport], witness: &Witness) -> Finding {
    let received: u64 = hosts.iter().map(|host| host.counted.received).sum();
    let from_machines: u64 = witness.sent.values().sum();
    let brought = from_machines + witness.for_hosts;
    finding(
        "no frame vanished",
        "hosts counted every frame that machines and wire brought",
        format!("machines and wire brought {brought}, the hosts counted {received}"),
        received == brought,
    )
}
