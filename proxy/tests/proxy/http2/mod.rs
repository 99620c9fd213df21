//! HTTP/2 from the client to the application: its rules, its floods, and what streams owe each other.

pub mod application;
mod canary;
mod fields;
mod floods;
pub mod frame;
mod grpc;
mod rules;
mod streams;
