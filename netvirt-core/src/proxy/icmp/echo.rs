//! The gateway answers echo requests.

use super::Envelope;
use crate::datapath::{DropReason, Frame, Outcome};
use crate::edit::NoRoom;
use crate::policy::Settings;
use crate::proxy::Reply;
use crate::wire::{Facts, Fragment, IcmpHeader};

/// The gateway's answer to an echo request (RFC 792, RFC 4443 §4.2). The data is the request's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EchoReply {
    envelope: Envelope,
    icmp: IcmpHeader,
    /// Where the request's ICMP header starts.
    transport_offset: u16,
    /// Where its data ends.
    end: u32,
}

/// A packet for the gateway itself.
pub(crate) fn from_port<'p>(
    frame: &Frame<'_>,
    facts: &Facts,
    settings: &Settings,
) -> Result<Outcome<'p>, DropReason> {
    let family = facts.family().ok_or(DropReason::GatewayAddress)?;
    let request =
        IcmpHeader::read(frame.window, facts).filter(|_| facts.fragment == Fragment::Whole);
    let icmp = request
        .and_then(|request| request.echo_reply(family))
        .ok_or(DropReason::GatewayAddress)?;
    let (source, class) = (facts.destination_address, facts.traffic_class);
    Ok(Outcome::Reply(Reply::Echo(EchoReply {
        envelope: Envelope::back_to_sender(facts, family, source, class, settings),
        icmp,
        transport_offset: facts.transport_offset,
        end: facts.end,
    })))
}

impl EchoReply {
    pub(in crate::proxy) fn emit(&self, request: &[u8], out: &mut [u8]) -> Result<usize, NoRoom> {
        let data = usize::from(self.transport_offset).saturating_add(IcmpHeader::LEN);
        let data = request.get(data..self.end as usize).ok_or(NoRoom)?;
        let length = data.len().saturating_add(IcmpHeader::LEN);
        let mut writer = self.envelope.open(length, out)?;
        writer.write(&self.icmp.to_bytes())?;
        writer.write(data)?;
        Ok(writer.written)
    }
}
