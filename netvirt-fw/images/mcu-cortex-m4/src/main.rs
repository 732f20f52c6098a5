//! A small device: Arm's MPS2 board with a Cortex-M4 and a LAN9118.
#![no_std]
#![no_main]

mod config;
mod lan9118;

use board::{fail, interrupts, spawn};
use defmt::info;
use embassy_executor::Spawner;
use embassy_net::{Config, Runner, Stack, StackResources, StaticConfigV4};
use lan9118::Lan9118;
use static_cell::StaticCell;

board::entry!(main);

fn main(spawner: Spawner) {
    static RESOURCES: StaticCell<StackResources<2>> = StaticCell::new();
    let Some(interrupt) = interrupts::enable(config::LAN9118_LINE) else {
        fail("no place for an interrupt line");
    };
    // SAFETY: here is the LAN9118 of the board, and nothing else uses it.
    let Ok(ethernet) = (unsafe { Lan9118::new(config::LAN9118, interrupt) }) else {
        fail("no LAN9118");
    };
    let address = Config::ipv4_static(StaticConfigV4 {
        address: config::ADDRESS,
        gateway: None,
        dns_servers: Default::default(),
    });
    let (stack, runner) = embassy_net::new(
        ethernet,
        address,
        RESOURCES.init_with(StackResources::new),
        1,
    );
    spawn(spawner, network(runner));
    spawn(spawner, links(stack));
}

#[embassy_executor::task]
async fn network(mut runner: Runner<'static, Lan9118>) -> ! {
    runner.run().await
}

#[embassy_executor::task]
async fn links(stack: Stack<'static>) {
    loop {
        stack.wait_link_up().await;
        info!("link up, {}", config::ADDRESS);
        stack.wait_link_down().await;
        info!("link down");
    }
}
