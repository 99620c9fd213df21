//! kube-rasp on a real Kubernetes: each test is a sentence about the installed product. Run by `make e2e`.

mod addresses;
mod availability;
mod bundles;
mod canary;
mod certificates;
mod delivery;
mod drain;
mod faults;
mod guard_rails;
mod injection;
mod kinds;
mod leaves;
mod life_cycle;
mod modes;
mod ownership;
mod prometheus;
mod protocols;
mod raspctl;
mod rollback;
mod rollout;
mod skips;
mod status;
mod tls;
mod validator;
mod watchdog;
mod without_rights;
