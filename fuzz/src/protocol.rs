//! The first bytes of a connection: told the same in one piece as one by one, and HTTP is never told as anything else.

use rasp_proxy::connection::protocol::{Protocol, tell, tell_last};

pub fn run(data: &[u8]) {
    let told = tell(data);
    if let Some(early) = (1..data.len()).find_map(|length| tell(&data[..length]))
        && let Some(told) = told
    {
        // A binary beginning is told by what is there.
        assert!(
            early == told || early == Protocol::Opaque || told == Protocol::Http1,
            "{early:?} became {told:?}"
        );
    }
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut fields);
    if matches!(request.parse(data), Ok(httparse::Status::Complete(_))) {
        assert_eq!(tell_last(data), Protocol::Http1, "a request that another parser takes");
    }
}
