//! Streams: `Block A ‖ Block B ‖ FLOE`, or the header and the FLOE message apart (FORMAT §2).

use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};

use super::inline::{self, HeaderDamage, Source};
use super::unlock::Opened;
use super::wrap::{Identity, payload_key, seal_header};
use super::{Context, EnvelopeCipher};
use crate::crypto::random;
use crate::error::{Error, Malformed, Result};
use crate::floe;
use crate::format::header::{EnvelopeKind, Header};
use crate::format::{blocks, payload_head};
use crate::secret::on_cleared_stack;

impl EnvelopeCipher {
    /// Seals what is written into an inline stream: two header blocks, then the payload. Memory stays bounded.
    ///
    /// Call [`EncryptWriter::finish`]: without it nothing opens.
    ///
    /// # Errors
    /// What a provider or `inner` reports, and [`Limit::HeaderBlock`](crate::error::Limit::HeaderBlock) where the header needs longer
    /// blocks.
    ///
    /// ```
    /// # use phi_envelope::{Context, EnvelopeCipher, Keyring};
    /// # let cipher = EnvelopeCipher::new(Keyring::generate("doc")?);
    /// # let (mut export, file) = (&b"{\"resourceType\":\"Patient\"}\n"[..], Vec::new());
    /// let context = Context::new().bind("export", "42")?;
    /// let mut out = cipher.encrypt_writer(file, &context)?;
    /// std::io::copy(&mut export, &mut out)?;
    /// let file = out.finish()?;
    /// # Ok::<(), phi_envelope::Error>(())
    /// ```
    pub fn encrypt_writer<W: Write>(
        &self,
        mut inner: W,
        context: &Context,
    ) -> Result<EncryptWriter<W>> {
        let length = u32::try_from(self.0.block_length).map_err(|_| Malformed::BlockLength)?;
        let (header, key, aad) = self.begin_stream(EnvelopeKind::StreamInline, length, context)?;
        let block = blocks::write(&header, self.0.block_length)?;
        inner.write_all(&block)?;
        inner.write_all(&block)?;
        self.payload_writer(inner, header, &key, &aad)
    }

    /// Seals what is written into a detached stream, and returns its header, to be stored in an object of its own.
    ///
    /// The payload begins with 24 bytes that name its header (FORMAT §2). [`EncryptWriter::finish_with_header`] returns the header
    /// under the keys that are current by then.
    ///
    /// # Errors
    /// What a provider or `inner` reports.
    pub fn encrypt_writer_detached<W: Write>(
        &self,
        mut inner: W,
        context: &Context,
    ) -> Result<(Vec<u8>, EncryptWriter<W>)> {
        let (header, key, aad) = self.begin_stream(EnvelopeKind::StreamDetached, 0, context)?;
        let (parsed, _) = Header::parse(&header)?;
        inner.write_all(&payload_head::write(parsed.message_id()))?;
        let writer = self.payload_writer(inner, header.clone(), &key, &aad)?;
        Ok((header, writer))
    }

    /// Opens an inline stream. Over a [`Seek`] source, what comes back can seek too.
    ///
    /// # Errors
    /// Those of opening a header, and of `inner`.
    ///
    /// ```
    /// # use phi_envelope::{Context, EnvelopeCipher, Keyring};
    /// # use std::io::{Cursor, Read, Seek, SeekFrom, Write};
    /// # let cipher = EnvelopeCipher::new(Keyring::generate("doc")?);
    /// # let context = Context::new();
    /// # let mut out = cipher.encrypt_writer(Vec::new(), &context)?;
    /// # out.write_all(b"0123456789")?;
    /// # let file = Cursor::new(out.finish()?);
    /// let mut input = cipher.decrypt_reader(file, &context)?;
    /// input.seek(SeekFrom::Start(4))?;
    /// let mut rest = String::new();
    /// input.read_to_string(&mut rest)?;
    /// assert_eq!(rest, "456789");
    /// # Ok::<(), phi_envelope::Error>(())
    /// ```
    pub fn decrypt_reader<R: Read>(
        &self,
        mut inner: R,
        context: &Context,
    ) -> Result<DecryptReader<R>> {
        let head = inline::read_head(&mut inner)?;
        let candidates = inline::candidates(&head)?;
        let (opened, damage) = self.open_inline(&candidates, context)?;
        let payload_at = 2 * candidates.block_length;
        let left = head.get(payload_at..).unwrap_or_default().to_vec();
        self.payload_reader(Source::new(left, inner), &opened, damage)
    }

    /// Opens a detached stream with its header.
    ///
    /// # Errors
    /// Those of opening a header, and of `inner`; [`AuthenticatedPart::PayloadOfAnotherHeader`](crate::error::AuthenticatedPart::PayloadOfAnotherHeader)
    /// if the payload names another header, before any work with keys.
    pub fn decrypt_reader_detached<R: Read>(
        &self,
        header: &[u8],
        mut inner: R,
        context: &Context,
    ) -> Result<DecryptReader<R>> {
        let (header, rest) = Header::parse(header)?;
        if header.kind() != EnvelopeKind::StreamDetached {
            return Err(header.other_kind(EnvelopeKind::StreamDetached));
        }
        if !rest.is_empty() {
            return Err(Malformed::TrailingBytes.into());
        }
        // FORMAT §2: a reader compares the id with the header's before any key work.
        let head = inline::read_payload_head(&mut inner)?;
        payload_head::check(&head, header.message_id())?;
        let opened = self.open_header(header, context)?;
        self.payload_reader(Source::new(Vec::new(), inner), &opened, None)
    }

    /// The header, payload key and AAD of a new stream.
    pub(crate) fn begin_stream(
        &self,
        kind: EnvelopeKind,
        block_length: u32,
        context: &Context,
    ) -> Result<(Vec<u8>, floe::Key, Vec<u8>)> {
        context.check_demands(&self.0.demands)?;
        let labels = context.encoded_labels();
        let mut header = Vec::new();
        let (immutable, key) = on_cleared_stack(|| {
            let (data, data_key_id, slots, _) = self.begin(kind, random::record()?, labels)?;
            let identity = Identity {
                kind,
                generation: 0,
                block_length,
                data_key_id: &data_key_id,
                message_id: None,
                labels,
                bindings: context.encoded_bindings(),
            };
            let immutable = seal_header(&data, &identity, &slots, &mut header)?;
            let key = payload_key(&data, &immutable, &header, floe::Key::derived);
            Ok::<_, crate::error::Error>((immutable, key))
        })?;
        let tail = header.get(immutable.tail).unwrap_or_default();
        let aad = [&immutable.head, tail].concat();
        Ok((header, key, aad))
    }

    fn payload_writer<W: Write>(
        &self,
        inner: W,
        header: Vec<u8>,
        key: &floe::Key,
        aad: &[u8],
    ) -> Result<EncryptWriter<W>> {
        Ok(EncryptWriter {
            writer: floe::Writer::new(inner, key, aad, self.0.segment_length)?,
            cipher: self.clone(),
            header,
        })
    }

    fn payload_reader<R: Read>(
        &self,
        source: Source<R>,
        opened: &Opened<'_>,
        damage: Option<HeaderDamage>,
    ) -> Result<DecryptReader<R>> {
        let (key, aad) = stream_key(opened);
        let reader = floe::Reader::new(source, &key, &aad)?;
        super::cipher::checked_segment_length(reader.segment_length().get())?;
        Ok(DecryptReader { reader, damage })
    }
}

// FORMAT §6: key = payload key, AAD = immutable.
pub(crate) fn stream_key(opened: &Opened<'_>) -> (floe::Key, Vec<u8>) {
    let header = opened.header();
    let aad = [&header.immutable_head(), header.immutable_tail()].concat();
    let key = on_cleared_stack(|| opened.payload_key(floe::Key::derived));
    (key, aad)
}

/// Seals what is written; made by [`EnvelopeCipher::encrypt_writer`].
///
/// Dropped without [`finish`](Self::finish), it leaves something that never opens.
#[must_use = "a stream that is not finished never opens"]
#[derive(Debug)]
pub struct EncryptWriter<W: Write> {
    writer: floe::Writer<W>,
    cipher: EnvelopeCipher,
    /// As it was written, or handed out.
    header: Vec<u8>,
}

impl<W: Write> EncryptWriter<W> {
    /// Seals on the calling thread alone.
    pub fn single_threaded(self) -> Self {
        Self {
            writer: self.writer.single_threaded(),
            ..self
        }
    }

    /// Seals the last segment, flushes and hands the inner writer back.
    ///
    /// The providers confirm first that they would still wrap. If a key was rotated away from since the stream began, its header is
    /// out of date: this call then fails, and nothing that opens is left. [`finish_up_to_date`](Self::finish_up_to_date) and
    /// [`finish_with_header`](Self::finish_with_header) renew the header instead.
    ///
    /// # Errors
    /// What the inner writer reports; [`Limit::StreamLength`](crate::error::Limit::StreamLength);
    /// [`Error::OutdatedSlot`](crate::Error::OutdatedSlot) if the header is out of date; what keeps a provider from wrapping.
    pub fn finish(self) -> Result<W> {
        self.cipher.confirm_new(&self.header)?;
        self.writer.finish()
    }

    /// [`finish`](Self::finish) for a detached stream: also returns its header, under the keys that are current now. Store this one
    /// in place of the header that the stream began with.
    ///
    /// # Errors
    /// What the inner writer and the providers report; [`Limit::StreamLength`](crate::error::Limit::StreamLength);
    /// [`Error::Misuse`](crate::Error::Misuse) for an inline stream.
    ///
    /// ```
    /// # use phi_envelope::{Context, EnvelopeCipher, Keyring};
    /// # use std::io::Write;
    /// # let keyring = Keyring::generate("doc")?;
    /// # let cipher = EnvelopeCipher::new(keyring.clone());
    /// let (_, mut out) = cipher.encrypt_writer_detached(Vec::new(), &Context::new())?;
    /// out.write_all(b"BP 120/80")?;
    /// keyring.rotate("ehr-2027")?; // while the upload goes on
    /// let (payload, header) = out.finish_with_header()?;
    /// # Ok::<(), phi_envelope::Error>(())
    /// ```
    pub fn finish_with_header(mut self) -> Result<(W, Vec<u8>)> {
        let (header, _) = Header::parse(&self.header)?;
        if header.kind() != EnvelopeKind::StreamDetached {
            return Err(Error::Misuse("an inline stream holds its header itself"));
        }
        self.renew()?;
        Ok((self.writer.finish()?, self.header))
    }

    /// Brings the header under the keys that are current now, and says whether it changed.
    fn renew(&mut self) -> Result<bool> {
        self.cipher.confirm_writers()?;
        let Some(renewed) = self.cipher.brought_up_to_date(&self.header)? else {
            return Ok(false);
        };
        self.header = renewed;
        Ok(true)
    }
}

impl<W: Write + Seek> EncryptWriter<W> {
    /// [`finish`](Self::finish) for an inline stream that begins at the start of the inner writer: if a key was rotated away from since
    /// the stream began, its header blocks are written again, before the last segment is sealed.
    ///
    /// # Errors
    /// What the inner writer and the providers report; [`Limit::StreamLength`](crate::error::Limit::StreamLength);
    /// [`Limit::HeaderBlock`](crate::error::Limit::HeaderBlock) if the new slots do not fit the blocks; [`Error::Misuse`](crate::Error::Misuse)
    /// for a detached stream.
    pub fn finish_up_to_date(mut self) -> Result<W> {
        let (header, _) = Header::parse(&self.header)?;
        if header.kind() != EnvelopeKind::StreamInline {
            return Err(Error::Misuse("a detached stream does not hold its header"));
        }
        if self.renew()? {
            let length = blocks::stated_length(&self.header).ok_or(Malformed::BlockLength)?;
            let block = blocks::write(&self.header, length)?;
            let inner = self.writer.get_mut();
            let at = inner.stream_position()?;
            inner.seek(SeekFrom::Start(0))?;
            inner.write_all(&block)?;
            inner.write_all(&block)?;
            inner.seek(SeekFrom::Start(at))?;
        }
        self.writer.finish()
    }
}

impl<W: Write> Write for EncryptWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Opens what is read; made by [`EnvelopeCipher::decrypt_reader`].
///
/// It hands on authenticated segments before it knows that the stream is whole: a consumer that must not act on a part reads
/// to the end first. An end that comes too early is an error.
#[derive(Debug)]
pub struct DecryptReader<R> {
    reader: floe::Reader<Source<R>>,
    damage: Option<HeaderDamage>,
}

impl<R: Read> DecryptReader<R> {
    /// Opens on the calling thread alone.
    #[must_use]
    pub fn single_threaded(self) -> Self {
        Self {
            reader: self.reader.single_threaded(),
            damage: self.damage,
        }
    }

    /// What is wrong with the stream's header blocks, where it opened all the same.
    #[must_use]
    pub fn header_damage(&self) -> Option<HeaderDamage> {
        self.damage
    }

    /// The inner reader, wherever it stands.
    #[must_use]
    pub fn into_inner(self) -> R {
        self.reader.into_inner().into_inner()
    }
}

impl<R: Read + Seek> DecryptReader<R> {
    /// Bytes of the whole plaintext, known once the last segment was authenticated.
    ///
    /// # Errors
    /// Those of reading and of authenticating the last segment.
    pub fn plaintext_len(&mut self) -> Result<u64> {
        self.reader.plaintext_len()
    }
}

impl<R: Read> Read for DecryptReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.reader.read(out)
    }
}

impl<R: Read> BufRead for DecryptReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.reader.consume(amount);
    }
}

impl<R: Read + Seek> Seek for DecryptReader<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.reader.seek(to)
    }
}
