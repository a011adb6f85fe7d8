//! Bodies both ways: many, large, of unknown length, and beside one that nobody reads.

use adit_e2e::{Connection, Digest, Pattern, Scene, digest, large_body_bytes, patterned, text};
use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

const AT_ONCE: u64 = 200;
const SLOW_READERS: u64 = 100;
const SMALL_BODY_BYTES_MAX: u64 = 256 * 1024;
const MEMORY_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_at_once_arrive_whole() -> Result<()> {
    let scene = Scene::start().await?;
    let mut sizes = Pattern::new(0xAD17);
    let mut transfers = Vec::new();
    for index in 0..AT_ONCE {
        let connection = match index % 3 {
            0 => scene.visitor.http().await?,
            1 => scene.visitor.https().await?,
            _ => scene.visitor.http2().await?,
        };
        transfers.push((
            connection,
            index,
            sizes.below(SMALL_BODY_BYTES_MAX),
            sizes.below(SMALL_BODY_BYTES_MAX),
        ));
    }
    let transfers = transfers.into_iter().map(|(mut connection, index, down, up)| async move {
        let downloaded = connection.download(&format!("/bytes/{down}?seed={index}")).await?;
        assert_eq!(downloaded, Digest::of_pattern(index, down));
        let answer = connection.upload("/upload", patterned(index, up)).await?;
        assert_eq!(serde_json::from_value::<Digest>(answer)?, Digest::of_pattern(index, up));
        anyhow::Ok(())
    });
    try_join_all(transfers).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_download_needs_little_memory() -> Result<()> {
    let mut scene = Scene::start().await?;
    let bytes = large_body_bytes();
    for (seed, mut connection) in (1..).zip(scene.visitor.each().await?) {
        let downloaded = connection.download(&format!("/bytes/{bytes}?seed={seed}")).await?;
        assert_eq!(downloaded, Digest::of_pattern(seed, bytes));
    }
    assert_memory(&mut scene)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_upload_needs_little_memory() -> Result<()> {
    let mut scene = Scene::start().await?;
    let bytes = large_body_bytes();
    for (seed, mut connection) in (1..).zip(scene.visitor.each().await?) {
        let answer = connection.upload("/upload", patterned(seed, bytes)).await?;
        assert_eq!(serde_json::from_value::<Digest>(answer)?, Digest::of_pattern(seed, bytes));
    }
    assert_memory(&mut scene)
}

#[tokio::test]
async fn uploads_of_known_and_unknown_length() -> Result<()> {
    let scene = Scene::start().await?;
    for mut connection in scene.visitor.each().await? {
        for bytes in [0, 1, 16_368, 16_369, 1_000_000] {
            let known = text(Pattern::new(bytes).take(usize::try_from(bytes)?));
            for body in [known, patterned(bytes, bytes)] {
                let answer = connection.upload("/upload", body).await?;
                assert_eq!(serde_json::from_value::<Digest>(answer)?, Digest::of_pattern(bytes, bytes));
            }
            let chunked = connection.download(&format!("/chunked/{bytes}?seed=9")).await?;
            assert_eq!(chunked, Digest::of_pattern(9, bytes));
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_stalls_only_itself() -> Result<()> {
    let mut scene = Scene::start().await?;
    let bytes = large_body_bytes();
    let path = format!("/bytes/{bytes}?seed=1");
    for mut slow in scene.visitor.each().await? {
        let mut answer = slow.get(&path).await?.into_body();
        let first = first_piece(&mut answer).await?;
        for mut other in scene.visitor.each().await? {
            assert_eq!(other.download("/bytes/3000000?seed=2").await?, Digest::of_pattern(2, 3_000_000));
        }
        assert_eq!(first, Pattern::new(1).take(first.len()));
        let (rest, _) = digest(answer).await?;
        assert_eq!(rest.bytes + first.len() as u64, bytes);
    }
    assert_memory(&mut scene)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_slow_readers_leave_room_for_others() -> Result<()> {
    let scene = Scene::start().await?;
    let mut unread = Vec::new();
    for _ in 0..SLOW_READERS {
        let mut connection = scene.visitor.https().await?;
        let answer = connection.get("/bytes/1000000000?seed=1").await?;
        unread.push((connection, answer));
    }
    for mut other in scene.visitor.each().await? {
        assert_eq!(other.download("/bytes/3000000?seed=2").await?, Digest::of_pattern(2, 3_000_000));
        let answer = other.upload("/upload", patterned(3, 3_000_000)).await?;
        assert_eq!(serde_json::from_value::<Digest>(answer)?, Digest::of_pattern(3, 3_000_000));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unread_stream_leaves_its_neighbours_on_the_connection_alone() -> Result<()> {
    let scene = Scene::start().await?;
    let mut connection = scene.visitor.http2().await?;
    let bytes = large_body_bytes();
    let mut unread = connection.get(&format!("/bytes/{bytes}?seed=1")).await?.into_body();
    first_piece(&mut unread).await?;
    let streams: Vec<Connection> = (0..20).map(|_| connection.stream()).collect::<Result<_>>()?;
    let downloads = streams.into_iter().map(|mut stream| async move {
        assert_eq!(stream.download("/bytes/100000?seed=2").await?, Digest::of_pattern(2, 100_000));
        anyhow::Ok(())
    });
    try_join_all(downloads).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_the_upstream_does_not_read_stalls_only_itself() -> Result<()> {
    let mut scene = Scene::start().await?;
    let bytes = large_body_bytes();
    let mut stalled = scene.visitor.http2().await?;
    let request = stalled.request(Method::POST, "/hang", patterned(1, bytes))?;
    let mut other = scene.visitor.http2().await?;
    let others = async {
        for seed in 0..20 {
            let answer = other.upload("/upload", patterned(seed, 500_000)).await?;
            assert_eq!(serde_json::from_value::<Digest>(answer)?, Digest::of_pattern(seed, 500_000));
        }
        anyhow::Ok(())
    };
    tokio::select! {
        answer = stalled.send(request) => {
            let status = answer.map(|answer| answer.status());
            anyhow::bail!("the origin answers {status:?} to what it has not read");
        }
        done = others => done?,
    }
    assert_memory(&mut scene)
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_upload_arrives() -> Result<()> {
    let scene = Scene::start().await?;
    for mut connection in scene.visitor.each().await? {
        let request = connection.request(Method::POST, "/status/403", patterned(1, 5_000_000))?;
        let answer = connection.send(request).await?;
        assert_eq!(
            answer.status(),
            StatusCode::FORBIDDEN,
            "{} {:?}",
            connection.scheme(),
            connection.version()
        );
    }
    Ok(())
}

async fn first_piece(body: &mut Incoming) -> Result<bytes::Bytes> {
    let frame = body.frame().await.context("no body")??;
    frame.into_data().ok().context("trailers at once")
}

fn assert_memory(scene: &mut Scene) -> Result<()> {
    let server = scene.stack.program().peak_resident_bytes()?;
    let agent = scene.agent.program().peak_resident_bytes()?;
    assert!(server < MEMORY_BYTES_MAX, "the server had {server} bytes resident");
    assert!(agent < MEMORY_BYTES_MAX, "the agent had {agent} bytes resident");
    Ok(())
}
