//! Questions for names, which a container asks at port 53 of one address, and its name server takes at another port.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use stockade_kernel::netlink::Protocol as Part;
use stockade_kernel::netlink::socket::Socket;

use super::chain;
use crate::KernelError;
use crate::nft::{self, Family, Is, Table, Transport};

/// In the network namespace that the caller is in: what is sent to `from` goes to these ports of the same address, of UDP and of TCP, and what they
/// answer comes from `from`. A program that listens at every address at the first port is not disturbed.
///
/// The ports are exchanged in the packets, without a translation of addresses: that would have the kernel track all connections of the container, and
/// so every packet of it cost more. Questions are changed behind where connections are tracked and answers before, so that a firewall of the
/// container's own sees one connection, with the port that was asked.
///
/// # Errors
/// [`KernelError::Netlink`].
pub fn redirect(from: (Ipv4Addr, u16), [udp, tcp]: [u16; 2]) -> Result<(), KernelError> {
    let (address, number) = from;
    let only = IpNet::from(IpAddr::V4(address));
    let elsewhere = || [nft::to_loopback(Is::Other), nft::accept()].concat();
    let ports = [(Transport::Udp, udp), (Transport::Tcp, tcp)];
    let question = |(transport, port): (Transport, u16)| {
        let asked =
            [nft::destination(Is::Equal, only), nft::protocol(Is::Equal, transport.number()), nft::port(number)];
        [asked.concat(), nft::set_port(transport, nft::DESTINATION_PORT, port)].concat()
    };
    let answer = |(transport, port): (Transport, u16)| {
        let said = [nft::source(Is::Equal, only), nft::protocol(Is::Equal, transport.number()), nft::source_port(port)];
        [said.concat(), nft::set_port(transport, nft::SOURCE_PORT, number)].concat()
    };
    let questions = [elsewhere()].into_iter().chain(ports.map(question)).collect();
    let answers = [elsewhere()].into_iter().chain(ports.map(answer)).collect();
    let chains = vec![chain("questions", "filter", 3, -100, questions), chain("answers", "filter", 3, -300, answers)];
    let table = Table { family: Family::Ipv4, name: "stockade-names", comment: None, chains, sets: Vec::new() };
    let mut socket = Socket::open_for(Part::Netfilter)?;
    Ok(socket.batch(nft::transaction(&[table]), || "lead questions for names to the name server".to_owned())?)
}
