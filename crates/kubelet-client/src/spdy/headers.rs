//! Header blocks: name-value pairs, compressed by one zlib stream per
//! direction of a connection, which starts from a dictionary of the draft.
//! Blocks must be read in the order they came, wanted or not.

use bytes::{Buf, BufMut, Bytes};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::session::SpdyError;

/// Longest block, read, in bytes. Beyond it the connection is given up.
const BLOCK_BYTES_MAX: usize = 256 * 1024;

/// Writes blocks.
pub struct HeaderEncoder(Compress);

impl HeaderEncoder {
    /// An encoder for a new connection.
    pub fn new() -> Result<HeaderEncoder, SpdyError> {
        let mut zlib = Compress::new(Compression::best(), true);
        zlib.set_dictionary(&dictionary()).map_err(|_| SpdyError::Compression)?;
        Ok(HeaderEncoder(zlib))
    }

    /// The block of some headers.
    pub fn encode(&mut self, headers: &HeaderMap) -> Result<Bytes, SpdyError> {
        let plain = plain(headers)?;
        let mut out = Vec::with_capacity(plain.len() + 64);
        let start = self.0.total_in();
        loop {
            let read = usize::try_from(self.0.total_in() - start).map_err(|_| SpdyError::Compression)?;
            let room = out.capacity() - out.len();
            self.0
                .compress_vec(&plain[read..], &mut out, FlushCompress::Sync)
                .map_err(|_| SpdyError::Compression)?;
            // A flush is complete when it has left room.
            if out.len() < out.capacity() && room > 0 {
                return Ok(out.into());
            }
            out.reserve(256);
        }
    }
}

fn plain(headers: &HeaderMap) -> Result<Vec<u8>, SpdyError> {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| SpdyError::Headers);
    let mut plain = Vec::new();
    plain.put_u32(u32::try_from(headers.keys_len()).map_err(|_| SpdyError::Headers)?);
    for name in headers.keys() {
        plain.put_u32(length(name.as_str().as_bytes())?);
        plain.put_slice(name.as_str().as_bytes());
        let values: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
        let value = values.join(&0);
        plain.put_u32(length(&value)?);
        plain.put_slice(&value);
    }
    Ok(plain)
}

/// Reads blocks.
pub struct HeaderDecoder(Decompress);

impl HeaderDecoder {
    /// A decoder for a new connection.
    pub fn new() -> HeaderDecoder {
        HeaderDecoder(Decompress::new(true))
    }

    /// The headers of a block.
    pub fn decode(&mut self, block: &[u8]) -> Result<HeaderMap, SpdyError> {
        let mut plain = Vec::with_capacity(1024);
        let start = self.0.total_in();
        loop {
            let read = usize::try_from(self.0.total_in() - start).map_err(|_| SpdyError::Compression)?;
            let status = self.0.decompress_vec(&block[read..], &mut plain, FlushDecompress::Sync);
            match status {
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0.set_dictionary(&dictionary()).map_err(|_| SpdyError::Compression)?;
                }
                Err(_) => return Err(SpdyError::Compression),
                Ok(Status::StreamEnd) => return parse(&plain),
                Ok(_) if plain.len() < plain.capacity() => return parse(&plain),
                Ok(_) if plain.len() >= BLOCK_BYTES_MAX => return Err(SpdyError::Headers),
                Ok(_) => plain.reserve(1024),
            }
        }
    }
}

fn parse(mut plain: &[u8]) -> Result<HeaderMap, SpdyError> {
    fn text<'a>(plain: &mut &'a [u8]) -> Result<&'a [u8], SpdyError> {
        let length = plain.try_get_u32().map_err(|_| SpdyError::Headers)?;
        let length = usize::try_from(length).map_err(|_| SpdyError::Headers)?;
        let (text, rest) = plain.split_at_checked(length).ok_or(SpdyError::Headers)?;
        *plain = rest;
        Ok(text)
    }
    let mut headers = HeaderMap::new();
    for _ in 0..plain.try_get_u32().map_err(|_| SpdyError::Headers)? {
        let name = HeaderName::from_bytes(text(&mut plain)?).map_err(|_| SpdyError::Headers)?;
        for value in text(&mut plain)?.split(|byte| *byte == 0) {
            let value = HeaderValue::from_bytes(value).map_err(|_| SpdyError::Headers)?;
            headers.try_append(name.clone(), value).map_err(|_| SpdyError::Headers)?;
        }
    }
    Ok(headers)
}

/// What both sides know before anything was said: words with their length in
/// front, then a text without.
fn dictionary() -> Vec<u8> {
    let mut dictionary = Vec::with_capacity(1423);
    for word in WORDS {
        dictionary.put_u32(u32::try_from(word.len()).expect("words are short"));
        dictionary.put_slice(word.as_bytes());
    }
    dictionary.put_slice(TEXT.as_bytes());
    dictionary
}

#[rustfmt::skip]
const WORDS: &[&str] = &[
    "options", "head", "post", "put", "delete", "trace", "accept", "accept-charset", "accept-encoding",
    "accept-language", "accept-ranges", "age", "allow", "authorization", "cache-control", "connection",
    "content-base", "content-encoding", "content-language", "content-length", "content-location", "content-md5",
    "content-range", "content-type", "date", "etag", "expect", "expires", "from", "host", "if-match",
    "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "last-modified", "location",
    "max-forwards", "pragma", "proxy-authenticate", "proxy-authorization", "range", "referer", "retry-after",
    "server", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "vary", "via", "warning",
    "www-authenticate", "method", "get", "status", "200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie",
    "keep-alive", "origin",
];

const TEXT: &str = concat!(
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505",
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized",
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable",
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT",
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,",
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.",
);

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn the_dictionary_is_that_of_the_draft() {
        let adler = dictionary().iter().fold((1_u32, 0_u32), |(a, b), byte| {
            let a = (a + u32::from(*byte)) % 65_521;
            (a, (b + a) % 65_521)
        });
        assert_eq!((dictionary().len(), adler.1 << 16 | adler.0), (1423, 0xe3c6_a7c2));
    }

    #[test]
    fn blocks_of_one_connection_are_read_back_in_order() {
        let (mut encoder, mut decoder) = (HeaderEncoder::new().expect("zlib"), HeaderDecoder::new());
        for pairs in
            [&[("streamtype", "error")] as &[_], &[("streamtype", "stdin"), ("x", "1"), ("x", "2")], &[]]
        {
            let sent = headers(pairs);
            let block = encoder.encode(&sent).expect("encoded");
            assert_eq!(decoder.decode(&block).expect("decoded"), sent);
        }
    }

    #[test]
    fn long_headers_need_more_than_one_turn() {
        let (mut encoder, mut decoder) = (HeaderEncoder::new().expect("zlib"), HeaderDecoder::new());
        // Noise, so that it cannot be made small.
        let mut state = 1_u32;
        let noise: String = (0..20_000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                char::from(b'!' + u8::try_from(state >> 16 & 0x3f).expect("six bits"))
            })
            .collect();
        let mut sent = HeaderMap::new();
        sent.insert("x", noise.parse().expect("visible characters"));
        let block = encoder.encode(&sent).expect("encoded");
        assert_eq!(decoder.decode(&block).expect("decoded"), sent);
    }

    #[test]
    fn nonsense_is_an_error() {
        assert!(HeaderDecoder::new().decode(b"nonsense").is_err());
        assert!(parse(&[0, 0, 0, 1, 0, 0, 0, 9, b'a']).is_err());
    }
}
