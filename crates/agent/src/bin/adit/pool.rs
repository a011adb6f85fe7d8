//! How agents share an endpoint, as the command line says it.

use adit_domain::Pooling;
use clap::{Args, ValueEnum};

#[derive(Args, Debug)]
pub struct Pool {
    #[arg(
        long,
        alias = "pooling-enabled",
        help = "Share the address with others that say --pooling;\nwithout it, the newest agent has it alone"
    )]
    pub pooling: bool,
    #[arg(
        long,
        requires = "pooling",
        value_name = "HOW",
        hide_possible_values = true,
        help = "How requests are shared: least (in flight),\nround-robin or random [default: least]"
    )]
    pub balance: Option<Balance>,
    #[arg(
        long,
        requires = "pooling",
        value_name = "BY",
        hide_possible_values = true,
        help = "One agent for each visitor, by: cookie or address"
    )]
    pub sticky: Option<Sticky>,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Balance {
    Least,
    RoundRobin,
    Random,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sticky {
    Cookie,
    Address,
}

impl Pool {
    /// What the node is told.
    pub fn pooling(&self) -> Option<Pooling> {
        let balance = match self.balance {
            Some(Balance::Least) | None => adit_domain::Balance::Least,
            Some(Balance::RoundRobin) => adit_domain::Balance::RoundRobin,
            Some(Balance::Random) => adit_domain::Balance::Random,
        };
        let sticky = match self.sticky {
            None => adit_domain::Sticky::No,
            Some(Sticky::Cookie) => adit_domain::Sticky::Cookie,
            Some(Sticky::Address) => adit_domain::Sticky::Address,
        };
        self.pooling.then_some(Pooling { balance, sticky })
    }
}
