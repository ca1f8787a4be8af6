#[scenario]
mod scenarios {}
