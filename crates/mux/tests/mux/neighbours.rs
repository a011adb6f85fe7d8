//! What one stream does to the others of its connection.

use adit_mux::{
    Answer, Config,
    limits::{RECORD_DATA_BYTES_ALONE, RECORD_HEADER_BYTES},
};
use adit_wire::limits::INITIAL_CREDIT_BYTES;
use tokio::io::AsyncWriteExt as _;

use crate::{
    kit::{header, within},
    raw::{CREDIT, Raw, SYN},
};

#[tokio::test]
async fn who_waits_for_credit_leaves_the_others_their_large_records() {
    let (mut raw, mut incoming, _control, driver) = Raw::server_of(&Config::default());
    tokio::spawn(driver.run());
    let mut accepted = Vec::new();
    for id in [2, 4] {
        raw.data(SYN, id, &header().encode()).await;
        let mut stream = within(incoming.next()).await.unwrap().stream;
        stream.send_answer(Answer::Dialled).await.unwrap();
        accepted.push(stream);
    }
    let [mut stalled, mut other] = <[_; 2]>::try_from(accepted).unwrap();
    let stalling = tokio::spawn(async move { stalled.write_all(&vec![1; 1 << 20]).await });
    let asks_for_more = async {
        let (mut bytes, mut has_asked) = (0, false);
        while bytes < INITIAL_CREDIT_BYTES / 2 || !has_asked {
            let frame = raw.next().await.unwrap();
            has_asked |= frame.id == CREDIT && bytes > 0;
            bytes += if frame.id == 2 { frame.body.len() } else { 0 };
        }
    };
    within(asks_for_more).await;
    other.write_all(&vec![2; 3 * RECORD_DATA_BYTES_ALONE]).await.unwrap();
    other.flush().await.unwrap();
    for _ in 0..3 {
        let largest = async {
            loop {
                let bytes = raw.next_of(4).await.body.len();
                if bytes > 100 {
                    return bytes;
                }
            }
        };
        assert_eq!(within(largest).await, RECORD_DATA_BYTES_ALONE + RECORD_HEADER_BYTES);
    }
    stalling.abort();
}
