//! Whether what came of an attempt is what was to come of it, and both in words.

use std::collections::BTreeSet;
use std::net::IpAddr;

use netvirt_core::datapath::DropReason;

use super::DemoError;
use super::attempt::{Deed, Expected, Finding, PINGS, Progress, Running};
use super::cast::{Cast, MachineConfig};
use super::witness::{Counts, OnWire, Origin, Refusal, by_reason};
use crate::report::Bytes;

/// What was seen in the network during a step.
pub(super) struct Seen {
    /// Frames refused.
    pub refused: Counts<Refusal>,
    /// Frames that reached machines.
    pub arrived: Counts<(Origin, usize)>,
    /// Frames on the wire.
    pub wire: Counts<OnWire>,
    /// Bytes that servers received which nobody was to send them, in words.
    pub strays: Vec<String>,
}

impl Seen {
    /// What was refused of a tenant's machines, or came from the wire, which tells of no tenant.
    pub fn refusals_of(&self, tenant: Option<&str>) -> Counts<(usize, DropReason)> {
        let is_of =
            |refusal: &Refusal| refusal.tenant.is_none() || refusal.tenant.as_deref() == tenant;
        by_reason(self.refused.iter().filter(|(refusal, _)| is_of(refusal)))
    }

    /// The machines that were reached by frames which no host had made.
    pub fn places(&self) -> BTreeSet<usize> {
        let arrived = self.arrived.keys();
        let from_others = arrived.filter(|(origin, _)| *origin != Origin::Host);
        from_others.map(|(_, machine)| *machine).collect()
    }
}

impl Running<'_> {
    /// Judges what came of it.
    pub fn judge(&self, cast: &Cast, seen: &Seen) -> Result<Finding, DemoError> {
        let (as_expected, mut parts) = match self.attempt.expected {
            Expected::Answers | Expected::Received(_) => self.judge_success(),
            Expected::OnlyBetween(receiver) => self.judge_between(receiver, cast, seen)?,
            Expected::Refused(host, reason) => self.judge_refusal(host, reason, cast, seen),
        };
        let tenant = self.tenant(cast);
        let refusals = refusals_in_words(cast, &seen.refusals_of(tenant));
        let may_be_refused = matches!(self.attempt.expected, Expected::Refused(..));
        let held = as_expected && (may_be_refused || refusals.is_empty()) && seen.strays.is_empty();
        parts.extend(refusals);
        parts.extend(seen.strays.iter().cloned());
        Ok(Finding {
            held,
            what: self.in_words(cast),
            expected: self.attempt.expected.in_words(&self.attempt.deed),
            seen: parts.join("; "),
            wire: on_wire_in_words(tenant, &seen.wire),
        })
    }

    /// Whether all came through, and what did, in words.
    fn judge_success(&self) -> (bool, Vec<String>) {
        let (came_through, words) = match &self.progress {
            Progress::Forged => (false, "a forged frame is never answered".to_owned()),
            Progress::Ping { answered, .. } => (
                *answered == PINGS,
                format!("{answered} of {PINGS} answered"),
            ),
            Progress::Send { received, .. } if received.is_empty() => {
                (false, "nothing arrived".to_owned())
            }
            Progress::Send {
                content, received, ..
            } => {
                let verdict = if content == received {
                    "equal"
                } else {
                    "changed"
                };
                (
                    content == received,
                    format!("{} arrived {verdict}", Bytes(received.len())),
                )
            }
        };
        (came_through, vec![words])
    }

    fn judge_between(
        &self,
        receiver: &str,
        cast: &Cast,
        seen: &Seen,
    ) -> Result<(bool, Vec<String>), DemoError> {
        let receiver_number = cast.machine(receiver)?;
        let ends = [self.machine, Some(receiver_number)];
        let places: BTreeSet<usize> = seen.arrived.keys().map(|(_, machine)| *machine).collect();
        let arrived = places.contains(&receiver_number);
        let others = places
            .iter()
            .filter(|machine| !ends.contains(&Some(**machine)));
        let others: Vec<&str> = others
            .map(|machine| cast.machines[*machine].name.as_str())
            .collect();
        let words = match (arrived, others.as_slice()) {
            (true, []) => format!("arrived at {receiver} alone"),
            (false, []) => "arrived nowhere".to_owned(),
            (_, others) => format!("arrived at {}", others.join(", ")),
        };
        Ok((arrived && others.is_empty(), vec![words]))
    }

    /// Whether nothing came through, and all that was refused was refused there for this reason.
    fn judge_refusal(
        &self,
        host: &str,
        reason: DropReason,
        cast: &Cast,
        seen: &Seen,
    ) -> (bool, Vec<String>) {
        let refusals = seen.refusals_of(self.tenant(cast));
        let is_expected =
            |(at, why): &(usize, DropReason)| cast.hosts[*at].name == host && *why == reason;
        let refused = !refusals.is_empty() && refusals.keys().all(is_expected);
        let places = seen.places();
        let mut parts: Vec<String> = places
            .iter()
            .map(|machine| format!("it arrived at {}", cast.machines[*machine].name))
            .collect();
        let answered = match &self.progress {
            Progress::Ping { answered, .. } => *answered > 0,
            Progress::Send { sent, .. } => *sent > 0,
            Progress::Forged => false,
        };
        if answered {
            parts.push("somebody answered".to_owned());
        }
        if refusals.is_empty() {
            parts.push("nothing was refused".to_owned());
        }
        (refused && places.is_empty() && !answered, parts)
    }

    pub fn tenant<'c>(&self, cast: &'c Cast) -> Option<&'c str> {
        self.machine
            .map(|machine| cast.machines[machine].tenant.as_str())
    }

    fn in_words(&self, cast: &Cast) -> String {
        let whom = self.attempt.from.unwrap_or("intruder");
        match &self.attempt.deed {
            Deed::Ping(to) => format!("{whom} pings {to}{}", name_in(cast, self.machine, *to)),
            Deed::Send(to, bytes) => {
                let to = format!("{to}{}", name_in(cast, self.machine, *to));
                match self.attempt.expected {
                    Expected::Refused(..) => format!("{whom} opens TCP to {to}"),
                    _ => format!("{whom} sends {} to {to}", Bytes(*bytes)),
                }
            }
            Deed::Forge { story, .. } => format!("{whom} {story}"),
        }
    }
}

/// The name of the machine of the sender's tenant that has an address.
fn name_in(cast: &Cast, sender: Option<usize>, address: IpAddr) -> String {
    let tenant = sender.map(|sender| &cast.machines[sender].tenant);
    let mut configs = cast.machines.iter();
    let has_it = |config: &&MachineConfig| {
        Some(&config.tenant) == tenant && config.addresses.iter().any(|(own, _)| *own == address)
    };
    configs
        .find(has_it)
        .map_or(String::new(), |config| format!(" ({})", config.name))
}

fn refusals_in_words(cast: &Cast, refusals: &Counts<(usize, DropReason)>) -> Vec<String> {
    let words = |((host, reason), frames): (&(usize, DropReason), &u64)| {
        let host = &cast.hosts[*host].name;
        format!("{host} refused {frames}: {reason}")
    };
    refusals.iter().map(words).collect()
}

/// The frames of a tenant, or of an intruder, on the wire.
fn on_wire_in_words(tenant: Option<&str>, wire: &Counts<OnWire>) -> String {
    let words = |(kind, frames): (&OnWire, &u64)| match kind {
        OnWire::Encapsulated(whose) if Some(whose.as_str()) == tenant => {
            Some(format!("{frames} NVGRE"))
        }
        OnWire::Rewritten(whose) if Some(whose.as_str()) == tenant => {
            Some(format!("{frames} rewritten"))
        }
        OnWire::Intruder if tenant.is_none() => Some(format!("{frames} forged")),
        _ => None,
    };
    let parts: Vec<String> = wire.iter().filter_map(words).collect();
    if parts.is_empty() {
        "wire: –".to_owned()
    } else {
        format!("wire: {}", parts.join(" + "))
    }
}

impl Expected {
    fn in_words(self, deed: &Deed) -> String {
        match (self, deed) {
            (Self::Received(who), Deed::Send(_, bytes)) => {
                format!(
                    "{} arrive at {who} unchanged, nothing refused",
                    Bytes(*bytes)
                )
            }
            (Self::Received(who), _) => format!("it arrives at {who}"),
            (Self::Answers, _) => format!("{PINGS} of {PINGS} answered, nothing refused"),
            (Self::OnlyBetween(who), _) => format!("it arrives at {who} and nowhere else"),
            (Self::Refused(host, reason), _) => format!("{host} refuses all of it: {reason}"),
        }
    }
}
