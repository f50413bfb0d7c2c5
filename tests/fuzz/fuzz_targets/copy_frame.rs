//! Any bytes as a frame from the server or a status from the client: what decodes encodes back to
//! the same bytes.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use walgate_pgoutput::{
    CopyFrame, KEEPALIVE_LEN, STANDBY_STATUS_LEN, StandbyStatus, XLOG_DATA_HEADER,
};

fuzz_target!(|bytes: &[u8]| {
    match CopyFrame::decode(bytes) {
        Ok(frame) => {
            let mut encoded = BytesMut::new();
            frame.encode(&mut encoded);
            assert_eq!(encoded, bytes);
            match frame {
                CopyFrame::XLogData { payload, .. } => {
                    assert_eq!(payload.len() + XLOG_DATA_HEADER, bytes.len());
                }
                CopyFrame::Keepalive { .. } => assert_eq!(bytes.len(), KEEPALIVE_LEN),
            }
        }
        Err(error) => assert!(error.offset <= bytes.len()),
    }
    match StandbyStatus::decode(bytes) {
        Ok(status) => {
            let mut encoded = BytesMut::new();
            status.encode(&mut encoded);
            assert_eq!(encoded, bytes);
            assert_eq!(bytes.len(), STANDBY_STATUS_LEN);
        }
        Err(error) => assert!(error.offset <= bytes.len()),
    }
});
