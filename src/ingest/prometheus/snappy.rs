//! The snappy block around a request.
//!
//! A block starts with the length that it claims to decode to. That claim is an attacker's word: it is held against the
//! limit and against what its bytes could decode to at best before the buffer for it exists.

use super::{DecodeError, Limits};

/// Decoded bytes that one compressed byte yields at best: a copy element of 3 bytes stands for 64, rounded up.
const EXPANSION_MAX: usize = 22;

/// Decompresses a snappy block into `buffer` and returns the message. `buffer` only grows; its old content is noise.
///
/// # Errors
/// `TooLarge` when the body or its declared length is over the limit, `Snappy` when it is not a whole snappy block.
pub fn decompress<'b>(body: &[u8], limits: &Limits, buffer: &'b mut Vec<u8>) -> Result<&'b [u8], DecodeError> {
    DecodeError::check("compressed bytes", body.len(), limits.body_bytes_max)?;
    if body.is_empty() {
        return Err(DecodeError::Snappy { reason: "it is empty".into() });
    }
    let declared = snap::raw::decompress_len(body).map_err(|e| DecodeError::Snappy { reason: e.to_string() })?;
    DecodeError::check("decompressed bytes", declared, limits.decoded_bytes_max)?;
    if declared > body.len().saturating_mul(EXPANSION_MAX) {
        let reason = format!("{} bytes cannot decode to the {declared} that it declares", body.len());
        return Err(DecodeError::Snappy { reason });
    }
    if buffer.len() < declared {
        buffer.resize(declared, 0);
    }
    let message = &mut buffer[..declared];
    let written = snap::raw::Decoder::new()
        .decompress(body, message)
        .map_err(|e| DecodeError::Snappy { reason: e.to_string() })?;
    if written != declared {
        return Err(DecodeError::Snappy { reason: format!("it decodes to {written} bytes and declares {declared}") });
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &[u8], limits: &Limits) -> (DecodeError, usize) {
        let mut buffer = Vec::new();
        let error = decompress(body, limits, &mut buffer).expect_err("the body is refused");
        (error, buffer.capacity())
    }

    #[test]
    fn a_block_round_trips_and_the_buffer_is_reused() {
        let message = b"abcabcabcabcabcabcabcabc".repeat(100);
        let body = snap::raw::Encoder::new().compress_vec(&message).unwrap();
        let mut buffer = Vec::new();
        assert_eq!(decompress(&body, &Limits::default(), &mut buffer), Ok(&message[..]));
        let short = snap::raw::Encoder::new().compress_vec(b"x").unwrap();
        assert_eq!(decompress(&short, &Limits::default(), &mut buffer), Ok(&b"x"[..]));
        assert_eq!(buffer.len(), message.len());
    }

    #[test]
    fn declared_length_over_the_limit_allocates_nothing() {
        // 47 bytes that declare 2,704,094,487.
        let bomb: Vec<u8> = (0..94)
            .step_by(2)
            .map(|i| {
                let hex =
                    "97eab4890a170a085f5f6e616d655f5f120b746573745f6d6574726963121009000000000000f03f10d48fc9b2a333";
                u8::from_str_radix(&hex[i..i + 2], 16).unwrap()
            })
            .collect();
        assert_eq!(bomb.len(), 47);
        let (error, allocated) = refused(&bomb, &Limits::default());
        assert_eq!(
            error,
            DecodeError::TooLarge { what: "decompressed bytes", found: 2_704_094_487, limit: 33_554_432 }
        );
        assert_eq!(allocated, 0);

        let (error, allocated) = refused(&[0x80, 0x80, 0x80, 0x80, 0x01], &Limits::default());
        assert!(matches!(error, DecodeError::TooLarge { found: 268_435_456, .. }), "{error}");
        assert_eq!(allocated, 0);
    }

    #[test]
    fn declared_length_that_the_bytes_cannot_reach_allocates_nothing() {
        let (error, allocated) = refused(&[0x80, 0x80, 0x80, 0x08, 0x00], &Limits::default());
        assert!(matches!(error, DecodeError::Snappy { .. }), "{error}");
        assert_eq!(allocated, 0);
    }

    #[test]
    fn damaged_blocks_are_refused() {
        let body = snap::raw::Encoder::new().compress_vec(&b"hello hello hello hello".repeat(20)).unwrap();
        for length in 0..body.len() {
            refused(&body[..length], &Limits::default());
        }
        let mut framed = b"\xff\x06\x00\x00sNaPpY".to_vec();
        framed.extend_from_slice(&body);
        refused(&framed, &Limits::default());
        refused(&[0xff; 12], &Limits::default());
    }

    #[test]
    fn the_best_expansion_of_snappy_is_below_the_bound() {
        let message = vec![0_u8; 1 << 20];
        let body = snap::raw::Encoder::new().compress_vec(&message).unwrap();
        assert!(message.len() < body.len() * EXPANSION_MAX);
        assert!(decompress(&body, &Limits::default(), &mut Vec::new()).is_ok());
    }
}
