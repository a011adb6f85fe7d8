use proptest::prelude::{any, prop, prop_assert_eq, proptest};

use super::{Scan, Verdict};

fn verdicts(scan: &mut Scan) -> Vec<Verdict> {
    std::iter::from_fn(|| scan.verdict()).collect()
}

fn of(text: &[u8]) -> Vec<Verdict> {
    let mut scan = Scan::new();
    scan.feed(text);
    verdicts(&mut scan)
}

#[test]
fn one_verdict_for_each_head() {
    use Verdict::{Ambiguous, Clear};
    let cases: &[(&str, &[Verdict])] = &[
        ("", &[]),
        ("GET / HTTP/1.1\r\n", &[]),
        ("GET / HTTP/1.1\r\n\r\n", &[Clear]),
        ("\r\n\r\nGET / HTTP/1.1\r\n\r\n", &[Clear]),
        ("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", &[Clear, Clear]),
        ("P / H\r\nContent-Length: 5\r\n\r\nabcdeP / H\r\n\r\n", &[Clear, Clear]),
        ("P / H\r\nContent-Length: 5\r\n\r\nabcdP / H\r\n\r\n", &[Clear, Clear]),
        ("P / H\r\nContent-Length:0005 \r\n\r\n\r\n\r\naP / H\r\n\r\n", &[Clear, Clear]),
        (
            "P / H\r\nTransfer-Encoding: chunked\r\n\r\nA;x\r\n0123456789\r\n0\r\n\r\nP / H\r\n\r\n",
            &[Clear, Clear],
        ),
        ("P / H\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\nP / H\r\n\r\n", &[Clear, Clear]),
        // What follows a refused head is not looked at.
        ("P / H\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\naP / H\r\n\r\n", &[Ambiguous]),
        (
            "P / H\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nP / H\r\n\r\n",
            &[Ambiguous],
        ),
        ("P / H\n\r\n", &[Ambiguous]),
        ("\nP / H\r\n\r\n", &[Ambiguous]),
        // What hyper refuses itself ends the scan.
        ("P / H\r\nContent-Length: 1x\r\n\r\naP / H\r\n\r\n", &[Clear]),
        ("P / H\r\nContent-Length: 18446744073709551616\r\n\r\naP / H\r\n\r\n", &[Clear]),
        ("P / H\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nP / H\r\n\r\n", &[Clear]),
        ("P / H\r\nTransfer-Encoding: chunked\r\n\r\n1\nP / H\r\n\r\n", &[Clear]),
        ("P / H\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\nP / H\r\n\r\n", &[Clear]),
        ("P / H\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\nP / H\r\n\r\n", &[Clear]),
    ];
    for (text, wanted) in cases {
        assert_eq!(&of(text.as_bytes()), wanted, "{text:?}");
    }
}

#[test]
fn lines_longer_than_what_is_kept_of_them() {
    let zeros = "0".repeat(100);
    let long = [
        (format!("P /{zeros} H\r\nX: {zeros}\r\n\r\nP / H\r\n\r\n"), 2),
        (format!("P / H\r\nContent-Length: {zeros}5\r\n\r\nabcdeP / H\r\n\r\n"), 1),
        (
            format!("P / H\r\nTransfer-Encoding: chunked\r\n\r\n{zeros}5\r\nabcde\r\n0\r\n\r\nP / H\r\n\r\n"),
            1,
        ),
        (
            format!(
                "P / H\r\nTransfer-Encoding: chunked\r\n\r\n5;{zeros}\r\nabcde\r\n0\r\n\r\nP / H\r\n\r\n"
            ),
            2,
        ),
        (format!("P / H\r\nX: y{}\r\n\r\nP / H\r\n\r\n", " ".repeat(59)), 2),
        (format!("P / H\r\nX: y{}\r\n\r\nP / H\r\n\r\n", " ".repeat(60)), 2),
    ];
    for (text, wanted) in long {
        assert_eq!(of(text.as_bytes()).len(), wanted, "{text:?}");
    }
}

#[test]
fn mid_head_from_the_first_byte_to_the_last() {
    let text = b"\r\nGET / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab";
    let mut scan = Scan::new();
    assert!(!scan.is_mid_head());
    let mut mid = Vec::new();
    for byte in text {
        scan.feed(std::slice::from_ref(byte));
        mid.push(scan.is_mid_head());
    }
    let head = text.len() - 3;
    assert!(mid.iter().take(head).all(|mid| *mid) && mid.iter().skip(head).all(|mid| !mid), "{mid:?}");
    assert_eq!(scan.heads(), 1);
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_give_the_same(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        pieces in 1_usize..50,
    ) {
        let mut scan = Scan::new();
        for piece in bytes.chunks(pieces) {
            scan.feed(piece);
        }
        prop_assert_eq!(verdicts(&mut scan), of(&bytes));
    }

    #[test]
    fn messages_in_any_pieces_give_one_clear_verdict_each(
        bodies in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..60), any::<bool>()), 1..8),
        pieces in 1_usize..50,
    ) {
        let mut stream = Vec::new();
        for (body, chunked) in &bodies {
            stream.extend_from_slice(b"POST /x HTTP/1.1\r\nHost: a\r\n");
            if *chunked {
                stream.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                for chunk in body.chunks(7) {
                    stream.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    stream.extend_from_slice(chunk);
                    stream.extend_from_slice(b"\r\n");
                }
                stream.extend_from_slice(b"0\r\n\r\n");
            } else {
                stream.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
                stream.extend_from_slice(body);
            }
        }
        let mut scan = Scan::new();
        for piece in stream.chunks(pieces) {
            scan.feed(piece);
        }
        prop_assert_eq!(verdicts(&mut scan), vec![Verdict::Clear; bodies.len()]);
        prop_assert_eq!(scan.is_mid_head(), false);
    }
}
