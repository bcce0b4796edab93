//! A connection with streams. One task reads, one writes; streams and the
//! session talk to them through bounded queues.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::{Bytes, BytesMut};
use environment::Environment;
use futures::future::{Either, select};
use http::HeaderMap;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

use super::frame::{DATA_BYTES_MAX, FLAG_FIN, Frame, HEAD_BYTES, Head, Kind};
use super::headers::{HeaderDecoder, HeaderEncoder};

/// Pieces of data a stream keeps for its reader, of at most [`DATA_BYTES_MAX`]
/// bytes each. Beyond it the connection is not read until somebody reads them.
const PIECES_MAX: usize = 8;
/// Frames waiting to be written. Beyond it writers wait.
const FRAMES_MAX: usize = 16;
/// Streams the other side may have open at once. Beyond it a stream is refused.
const STREAMS_MAX: usize = 1000;
/// Longest control frame in bytes. Beyond it the connection is given up.
const CONTROL_BYTES_MAX: usize = 64 * 1024;

/// Statuses of a broken-off stream.
const REFUSED_STREAM: u32 = 3;
const CANCEL: u32 = 5;

/// Why a connection or a stream of it is of no use any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpdyError {
    /// The connection is gone.
    #[error("the connection was closed")]
    Closed,
    /// The other side broke the stream off before it began.
    #[error("the stream was refused")]
    Refused,
    /// Bytes that are no frames, or too long ones.
    #[error("invalid frame")]
    Frame,
    /// Header blocks that cannot be read or written.
    #[error("invalid headers")]
    Headers,
    /// A compressed block that is none.
    #[error("invalid header compression")]
    Compression,
    /// The socket failed.
    #[error("{0}")]
    Io(String),
}

/// One connection. When it and all its streams are dropped the connection is closed.
pub struct Session {
    commands: mpsc::Sender<Command>,
    streams: Streams,
    next_id: AtomicU32,
}

/// Streams the other side opens.
pub struct Incoming(mpsc::Receiver<Stream>);

/// A stream: headers it was opened with, and data both ways.
pub struct Stream {
    /// Headers of whoever opened it.
    pub headers: HeaderMap,
    sender: StreamSender,
    data: mpsc::Receiver<Bytes>,
}

/// The side of a stream that sends. Dropping it without [`StreamSender::finish`] leaves it open.
pub struct StreamSender {
    id: u32,
    commands: mpsc::Sender<Command>,
    streams: Streams,
}

/// What the writing task is told.
enum Command {
    Open(u32, HeaderMap),
    Accept(u32),
    Frame(Frame),
}

/// What the reading task knows of a stream.
struct Reading {
    /// Told once when the other side accepts (or refuses, by being dropped).
    accepted: Option<oneshot::Sender<()>>,
    data: mpsc::Sender<Bytes>,
}

type Streams = Arc<Mutex<HashMap<u32, Reading>>>;

impl Session {
    /// Speaks as the side that asked for the upgrade: its streams have odd numbers.
    pub fn client<S>(socket: S, environment: &Environment) -> Result<(Session, Incoming), SpdyError>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        Session::start(socket, environment, 1)
    }

    /// Speaks as the side that was asked.
    pub fn server<S>(socket: S, environment: &Environment) -> Result<(Session, Incoming), SpdyError>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        Session::start(socket, environment, 2)
    }

    fn start<S>(socket: S, environment: &Environment, first_id: u32) -> Result<(Session, Incoming), SpdyError>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (read, write) = tokio::io::split(socket);
        let (commands, to_write) = mpsc::channel(FRAMES_MAX);
        let (opened, incoming) = mpsc::channel(PIECES_MAX);
        let streams = Streams::default();
        let encoder = HeaderEncoder::new()?;
        let reader = Reader {
            socket: read,
            decoder: HeaderDecoder::new(),
            streams: streams.clone(),
            commands: commands.downgrade(),
            opened,
            own_parity: first_id % 2,
        };
        environment.tasks.spawn("SPDY connection", Box::pin(drive(reader, write, encoder, to_write)));
        Ok((Session { commands, streams, next_id: AtomicU32::new(first_id) }, Incoming(incoming)))
    }

    /// Opens a stream and waits until the other side has accepted it.
    pub async fn open(&self, headers: HeaderMap) -> Result<Stream, SpdyError> {
        let id = self.next_id.fetch_add(2, Ordering::Relaxed);
        let (accepted, acceptance) = oneshot::channel();
        let stream = stream(id, &headers, &self.commands, &self.streams, Some(accepted));
        self.commands.send(Command::Open(id, headers)).await.map_err(|_| SpdyError::Closed)?;
        // The reader that is gone takes the other end with it only when its streams go.
        acceptance.await.map_err(|_| SpdyError::Refused)?;
        Ok(stream)
    }

    /// Asks whether the other side is still there; an answer is not waited for.
    pub async fn ping(&self) -> Result<(), SpdyError> {
        let id = self.next_id.load(Ordering::Relaxed) % 2;
        send(&self.commands, Frame::Ping { id }).await
    }
}

impl Incoming {
    /// The next stream, already accepted; none when the connection has ended.
    pub async fn next(&mut self) -> Option<Stream> {
        self.0.recv().await
    }
}

impl Stream {
    /// The next data; none when the other side has finished or is gone.
    pub async fn read(&mut self) -> Option<Bytes> {
        self.data.recv().await
    }

    /// Sends data.
    pub async fn write(&self, bytes: Bytes) -> Result<(), SpdyError> {
        self.sender.write(bytes).await
    }

    /// Says that no more data comes.
    pub async fn finish(&self) -> Result<(), SpdyError> {
        self.sender.finish().await
    }

    /// The two directions, for tasks of their own.
    pub fn split(self) -> (StreamSender, mpsc::Receiver<Bytes>) {
        (self.sender, self.data)
    }
}

impl StreamSender {
    /// Sends data, in frames of bounded size.
    pub async fn write(&self, mut bytes: Bytes) -> Result<(), SpdyError> {
        while !bytes.is_empty() {
            let bytes = bytes.split_to(bytes.len().min(DATA_BYTES_MAX));
            send(&self.commands, Frame::Data { id: self.id, fin: false, bytes }).await?;
        }
        Ok(())
    }

    /// Says that no more data comes.
    pub async fn finish(&self) -> Result<(), SpdyError> {
        send(&self.commands, Frame::Data { id: self.id, fin: true, bytes: Bytes::new() }).await
    }

    /// Breaks the stream off in both directions.
    pub async fn reset(&self) -> Result<(), SpdyError> {
        self.streams.lock().remove(&self.id);
        send(&self.commands, Frame::RstStream { id: self.id, status: CANCEL }).await
    }
}

async fn send(commands: &mpsc::Sender<Command>, frame: Frame) -> Result<(), SpdyError> {
    commands.send(Command::Frame(frame)).await.map_err(|_| SpdyError::Closed)
}

fn stream(
    id: u32,
    headers: &HeaderMap,
    commands: &mpsc::Sender<Command>,
    streams: &Streams,
    accepted: Option<oneshot::Sender<()>>,
) -> Stream {
    let (to_stream, data) = mpsc::channel(PIECES_MAX);
    streams.lock().insert(id, Reading { accepted, data: to_stream });
    let sender = StreamSender { id, commands: commands.clone(), streams: streams.clone() };
    Stream { headers: headers.clone(), sender, data }
}

/// Reads and writes until either side has ended; then every stream ends.
async fn drive<S: AsyncRead + AsyncWrite + Send>(
    mut reader: Reader<tokio::io::ReadHalf<S>>,
    mut socket: tokio::io::WriteHalf<S>,
    encoder: HeaderEncoder,
    commands: mpsc::Receiver<Command>,
) {
    let ended = {
        let reading = std::pin::pin!(reader.run());
        let writing = std::pin::pin!(write(&mut socket, encoder, commands));
        match select(reading, writing).await {
            Either::Left((ended, _)) | Either::Right((ended, _)) => ended,
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "SPDY connection ended");
    }
    reader.streams.lock().clear();
    if let Err(error) = socket.shutdown().await {
        tracing::debug!(%error, "SPDY connection was gone already");
    }
}

async fn write<W: AsyncWrite + Unpin>(
    socket: &mut W,
    mut encoder: HeaderEncoder,
    mut commands: mpsc::Receiver<Command>,
) -> Result<(), SpdyError> {
    let mut out = BytesMut::new();
    while let Some(command) = commands.recv().await {
        let mut next = Some(command);
        // What waits is written in one go.
        while let Some(command) = next {
            let frame = match command {
                Command::Open(id, headers) => Frame::SynStream { id, block: encoder.encode(&headers)? },
                Command::Accept(id) => Frame::SynReply { id, block: encoder.encode(&HeaderMap::new())? },
                Command::Frame(frame) => frame,
            };
            frame.write(&mut out);
            next = commands.try_recv().ok();
        }
        socket.write_all(&out).await.map_err(io_error)?;
        socket.flush().await.map_err(io_error)?;
        out.clear();
    }
    Ok(())
}

struct Reader<R> {
    socket: R,
    decoder: HeaderDecoder,
    streams: Streams,
    /// Weak, so that the connection ends when nobody else holds it.
    commands: mpsc::WeakSender<Command>,
    opened: mpsc::Sender<Stream>,
    /// Streams with numbers of this parity are ours.
    own_parity: u32,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    async fn run(&mut self) -> Result<(), SpdyError> {
        loop {
            let mut head = [0; HEAD_BYTES];
            match self.socket.read_exact(&mut head).await {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(io_error(error)),
            }
            match Head::read(head).ok_or(SpdyError::Frame)? {
                Head::Data { id, flags, length } => self.data(id, flags, length).await?,
                Head::Control { kind, flags, length } => {
                    if length > CONTROL_BYTES_MAX {
                        return Err(SpdyError::Frame);
                    }
                    let mut payload = vec![0; length];
                    self.socket.read_exact(&mut payload).await.map_err(io_error)?;
                    self.control(kind, flags, &payload).await?;
                }
            }
        }
    }

    /// Hands data on as it comes; a frame may be longer than anybody wants to keep.
    async fn data(&mut self, id: u32, flags: u8, length: usize) -> Result<(), SpdyError> {
        let reader = self.streams.lock().get(&id).map(|reading| reading.data.clone());
        let mut left = length;
        while left > 0 {
            let mut piece = vec![0; left.min(DATA_BYTES_MAX)];
            let read = self.socket.read(&mut piece).await.map_err(io_error)?;
            if read == 0 {
                return Ok(());
            }
            left -= read;
            piece.truncate(read);
            if let Some(reader) = &reader {
                // Whoever does not read any more does not miss it.
                let _ = reader.send(piece.into()).await;
            }
        }
        if flags & FLAG_FIN != 0 {
            self.streams.lock().remove(&id);
        }
        Ok(())
    }

    async fn control(&mut self, kind: Kind, flags: u8, payload: &[u8]) -> Result<(), SpdyError> {
        let number = payload.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes));
        let id = number.map(|number| number & 0x7fff_ffff).ok_or(SpdyError::Frame);
        match kind {
            Kind::SynStream => {
                let headers = self.decoder.decode(payload.get(10..).ok_or(SpdyError::Frame)?)?;
                self.syn_stream(id?, flags, &headers).await
            }
            Kind::SynReply | Kind::Headers => {
                self.decoder.decode(payload.get(4..).ok_or(SpdyError::Frame)?)?;
                let id = id?;
                let mut streams = self.streams.lock();
                if let Some(accepted) = streams.get_mut(&id).and_then(|reading| reading.accepted.take()) {
                    // Whoever opened it may have given up waiting.
                    let _ = accepted.send(());
                }
                if flags & FLAG_FIN != 0 {
                    streams.remove(&id);
                }
                Ok(())
            }
            Kind::RstStream => {
                self.streams.lock().remove(&id?);
                Ok(())
            }
            Kind::Ping => {
                let id = number.ok_or(SpdyError::Frame)?;
                if id % 2 != self.own_parity {
                    self.reply(Command::Frame(Frame::Ping { id })).await;
                }
                Ok(())
            }
            Kind::GoAway | Kind::Other => Ok(()),
        }
    }

    async fn syn_stream(&mut self, id: u32, flags: u8, headers: &HeaderMap) -> Result<(), SpdyError> {
        if id % 2 == self.own_parity {
            return Err(SpdyError::Frame);
        }
        let Some(commands) = self.commands.upgrade() else { return Ok(()) };
        if self.streams.lock().len() >= STREAMS_MAX {
            self.reply(Command::Frame(Frame::RstStream { id, status: REFUSED_STREAM })).await;
            return Ok(());
        }
        let opened = stream(id, headers, &commands, &self.streams, None);
        if flags & FLAG_FIN != 0 {
            self.streams.lock().remove(&id);
        }
        self.reply(Command::Accept(id)).await;
        // Nobody takes streams: they were told of its end by its being dropped.
        let _ = self.opened.send(opened).await;
        Ok(())
    }

    async fn reply(&mut self, command: Command) {
        if let Some(commands) = self.commands.upgrade() {
            // A writer that is gone ends the connection anyway.
            let _ = commands.send(command).await;
        }
    }
}

fn io_error(error: std::io::Error) -> SpdyError {
    SpdyError::Io(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn pair() -> ((Session, Incoming), (Session, Incoming)) {
        let environment = environment::real::environment();
        let (here, there) = tokio::io::duplex(1024);
        let client = Session::client(here, &environment).expect("a session");
        (client, Session::server(there, &environment).expect("a session"))
    }

    fn named(name: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(http::HeaderName::from_static("streamtype"), HeaderValue::from_static(name))])
    }

    async fn all(stream: &mut Stream) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(piece) = stream.read().await {
            out.extend_from_slice(&piece);
        }
        out
    }

    #[tokio::test]
    async fn streams_carry_headers_and_data_both_ways_and_end_each_for_itself() {
        let ((client, _none), (_server, mut incoming)) = pair();
        let echo = async {
            for _ in 0..2 {
                let mut stream = incoming.next().await.expect("a stream");
                let said = all(&mut stream).await;
                let name = stream.headers["streamtype"].as_bytes().to_vec();
                stream.write([name, said].concat().into()).await.expect("written");
                stream.finish().await.expect("finished");
            }
        };
        let ask = async {
            let mut first = client.open(named("first")).await.expect("accepted");
            let mut second = client.open(named("second")).await.expect("accepted");
            first.write(Bytes::from_static(b" a")).await.expect("written");
            first.finish().await.expect("finished");
            assert_eq!(all(&mut first).await, b"first a");
            let long = vec![b'x'; 3 * DATA_BYTES_MAX + 1];
            second.write(long.clone().into()).await.expect("written");
            second.finish().await.expect("finished");
            assert_eq!(all(&mut second).await, [b"second".to_vec(), long].concat());
        };
        futures::join!(echo, ask);
    }

    #[tokio::test]
    async fn when_one_side_is_dropped_the_streams_of_the_other_end() {
        let ((client, none), (server, mut incoming)) = pair();
        let mut stream = client.open(named("x")).await.expect("accepted");
        drop(incoming.next().await.expect("a stream"));
        drop((server, incoming));
        assert_eq!(stream.read().await, None);
        drop((stream, none));
        assert!(client.open(named("y")).await.is_err());
    }

    #[tokio::test]
    async fn a_ping_of_the_other_side_is_answered() {
        let environment = environment::real::environment();
        let (here, mut there) = tokio::io::duplex(1024);
        let _session = Session::client(here, &environment).expect("a session");
        let ping = [0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 2];
        there.write_all(&ping).await.expect("written");
        let mut answer = [0; 12];
        there.read_exact(&mut answer).await.expect("answered");
        assert_eq!(answer, ping);
    }

    #[tokio::test]
    async fn nonsense_ends_the_connection() {
        let environment = environment::real::environment();
        let (here, mut there) = tokio::io::duplex(1024);
        let (_session, mut incoming) = Session::client(here, &environment).expect("a session");
        there.write_all(&[0x80, 9, 0, 0, 0, 0, 0, 0]).await.expect("written");
        assert!(incoming.next().await.is_none());
    }
}
