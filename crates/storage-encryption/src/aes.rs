//! AES as the original stores it: GCM, CBC, and GCM under keys derived from a
//! seed. Owns layouts and checks; prefixes and key choice are `prefix`'s.

use aws_lc_rs::aead::{AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey,
    PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::{hmac, iv::FixedLength};
use environment::Random;
use storage::TransformError;

use crate::cipher::{BadKey, Cipher, Opened, SHORT, failure, split};

const BLOCK_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
/// Of a derived key, and of the random bytes it is derived by.
const DERIVED_BYTES: usize = 32;

/// Nonce, ciphertext, tag. The storage key is authenticated with it.
pub(crate) struct Gcm {
    key: LessSafeKey,
}

impl Gcm {
    /// Takes 16, 24 or 32 bytes.
    pub(crate) fn new(key: &[u8]) -> Result<Gcm, BadKey> {
        let algorithm = match key.len() {
            16 => &AES_128_GCM,
            24 => &AES_192_GCM,
            32 => &AES_256_GCM,
            length => return Err(BadKey(length)),
        };
        let key = UnboundKey::new(algorithm, key).map_err(|_| BadKey(key.len()))?;
        Ok(Gcm { key: LessSafeKey::new(key) })
    }
}

impl Cipher for Gcm {
    fn seal(
        &self,
        random: &dyn Random,
        data: &[u8],
        context: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), TransformError> {
        let mut nonce = [0; NONCE_BYTES];
        random.fill(&mut nonce);
        out.reserve_exact(NONCE_BYTES + data.len() + TAG_BYTES);
        out.extend_from_slice(&nonce);
        let start = out.len();
        out.extend_from_slice(data);
        let tag = self
            .key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context),
                &mut out[start..],
            )
            .map_err(|_| failure("the data cannot be encrypted"))?;
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }

    fn open(&self, sealed: &[u8], context: &[u8]) -> Opened {
        let (nonce, sealed) = split::<NONCE_BYTES>(sealed).ok_or_else(|| failure(SHORT))?;
        let mut data = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self
            .key
            .open_in_place(nonce, Aad::from(context), &mut data)
            .map_err(|_| failure("cipher: message authentication failed"))?
            .len();
        data.truncate(length);
        Ok(data)
    }
}

/// IV and padded blocks. Nothing is authenticated: whoever can write to the
/// backend can move or change such values.
pub(crate) struct Cbc {
    encrypting: PaddedBlockEncryptingKey,
    decrypting: PaddedBlockDecryptingKey,
}

impl Cbc {
    /// Takes 16, 24 or 32 bytes.
    pub(crate) fn new(key: &[u8]) -> Result<Cbc, BadKey> {
        let bad = |_| BadKey(key.len());
        let algorithm: &'static Algorithm = match key.len() {
            16 => &AES_128,
            24 => &AES_192,
            32 => &AES_256,
            length => return Err(BadKey(length)),
        };
        let unbound = || UnboundCipherKey::new(algorithm, key).map_err(bad);
        Ok(Cbc {
            encrypting: PaddedBlockEncryptingKey::cbc_pkcs7(unbound()?).map_err(bad)?,
            decrypting: PaddedBlockDecryptingKey::cbc_pkcs7(unbound()?).map_err(bad)?,
        })
    }
}

impl Cipher for Cbc {
    fn seal(
        &self,
        random: &dyn Random,
        data: &[u8],
        _context: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), TransformError> {
        let mut iv = [0; BLOCK_BYTES];
        random.fill(&mut iv);
        let mut blocks = data.to_vec();
        self.encrypting
            .less_safe_encrypt(&mut blocks, EncryptionContext::Iv128(FixedLength::from(iv)))
            .map_err(|_| failure("the data cannot be encrypted"))?;
        out.extend_from_slice(&iv);
        out.extend_from_slice(&blocks);
        Ok(())
    }

    fn open(&self, sealed: &[u8], _context: &[u8]) -> Opened {
        let (iv, blocks) = split::<BLOCK_BYTES>(sealed).ok_or_else(|| failure(SHORT))?;
        if !blocks.len().is_multiple_of(BLOCK_BYTES) {
            return Err(failure("the stored data is not a multiple of the block size"));
        }
        if blocks.is_empty() {
            return Err(failure("invalid PKCS7 data (empty or not padded)"));
        }
        let mut data = blocks.to_vec();
        let length = self
            .decrypting
            .decrypt(&mut data, DecryptionContext::Iv128(FixedLength::from(*iv)))
            .map_err(|_| failure("invalid padding on input"))?
            .len();
        data.truncate(length);
        Ok(data)
    }
}

/// 32 random bytes, then [`Gcm`] under a key derived from the seed by them.
/// A key is used once, so that no number of values wears a seed out.
pub(crate) struct SeededGcm {
    seed: hmac::Key,
}

impl SeededGcm {
    /// Takes 32 bytes or more.
    pub(crate) fn new(seed: &[u8]) -> Result<SeededGcm, BadKey> {
        if seed.len() < DERIVED_BYTES {
            return Err(BadKey(seed.len()));
        }
        Ok(SeededGcm { seed: hmac::Key::new(hmac::HMAC_SHA256, seed) })
    }

    /// HKDF's expansion to one block, which is one HMAC.
    fn derive(&self, info: &[u8; DERIVED_BYTES]) -> Result<Gcm, TransformError> {
        let mut expand = hmac::Context::with_key(&self.seed);
        expand.update(info);
        expand.update(&[1]);
        Gcm::new(expand.sign().as_ref()).map_err(|error| failure(&error.to_string()))
    }
}

impl Cipher for SeededGcm {
    fn seal(
        &self,
        random: &dyn Random,
        data: &[u8],
        context: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), TransformError> {
        let mut info = [0; DERIVED_BYTES];
        random.fill(&mut info);
        out.extend_from_slice(&info);
        self.derive(&info)?.seal(random, data, context, out)
    }

    fn open(&self, sealed: &[u8], context: &[u8]) -> Opened {
        let (info, sealed) = split::<DERIVED_BYTES>(sealed).ok_or_else(|| failure(SHORT))?;
        self.derive(info)?.open(sealed, context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cipher::testing::{Counting, hex};

    fn sealed(cipher: &dyn Cipher, data: &[u8], context: &[u8]) -> Vec<u8> {
        let mut out = b"kept".to_vec();
        cipher.seal(&Counting::default(), data, context, &mut out).unwrap();
        assert_eq!(&out[..4], b"kept");
        out.split_off(4)
    }

    #[test]
    fn cbc_is_the_cbc_of_the_standard_after_its_iv() {
        // NIST SP 800-38A, F.2.1: key, IV 00..0f, first block.
        let cbc = Cbc::new(&hex("2b7e151628aed2a6abf7158809cf4f3c")).unwrap();
        let plain = hex("6bc1bee22e409f96e93d7e117393172a");
        let value = sealed(&cbc, &plain, b"ignored");
        assert_eq!(value[..16], hex("000102030405060708090a0b0c0d0e0f"));
        assert_eq!(value[16..32], hex("7649abac8119b246cee98e9b12e9197d"));
        assert_eq!(value.len(), 48, "a whole block of padding");
        assert_eq!(cbc.open(&value, b"other").unwrap(), plain);
    }

    #[test]
    fn gcm_opens_the_example_of_its_specification() {
        // McGrew and Viega, test case 4: AES-128, 96-bit IV, associated data.
        let gcm = Gcm::new(&hex("feffe9928665731c6d6a8f9467308308")).unwrap();
        let aad = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
        let plain = hex(concat!(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72",
            "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
        ));
        let value = hex(concat!(
            "cafebabefacedbaddecaf888",
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e",
            "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
            "5bc94fbc3221a5db94fae95ae7121a47"
        ));
        assert_eq!(gcm.open(&value, &aad).unwrap(), plain);
        assert!(gcm.open(&value, b"another key").is_err());
    }

    #[test]
    fn a_seed_seals_with_a_key_derived_by_the_first_bytes() {
        let seeded = SeededGcm::new(&[0x0b; 32]).unwrap();
        let value = sealed(&seeded, b"data", b"/registry/x");
        assert_eq!(value[..32], (0..32).collect::<Vec<u8>>());
        assert_eq!(value.len(), 32 + 12 + 4 + 16);
        let derived = {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &[0x0b; 32]);
            let info: Vec<u8> = (0..32).chain([1]).collect();
            Gcm::new(hmac::sign(&key, &info).as_ref()).unwrap()
        };
        assert_eq!(derived.open(&value[32..], b"/registry/x").unwrap(), b"data");
        assert_eq!(seeded.open(&value, b"/registry/x").unwrap(), b"data");
        assert!(seeded.open(&value, b"/registry/y").is_err());
    }

    #[test]
    fn hkdf_of_the_rfc_is_one_hmac_per_block() {
        // RFC 5869, test case 1: the first block of the expansion.
        let prk = hex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
        let mut info = hex("f0f1f2f3f4f5f6f7f8f9");
        info.push(1);
        let block = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &prk), &info);
        let expect = hex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
        assert_eq!(block.as_ref(), expect);
    }

    #[test]
    fn every_key_length_round_trips_and_others_are_refused() {
        for length in [16, 24, 32] {
            let key = vec![7; length];
            for cipher in [&Gcm::new(&key).unwrap() as &dyn Cipher, &Cbc::new(&key).unwrap()] {
                for data in [b"".as_slice(), b"x", &[0; 16], &[1; 1000]] {
                    assert_eq!(cipher.open(&sealed(cipher, data, b"key"), b"key").unwrap(), data);
                }
            }
        }
        assert!(Gcm::new(&[0; 17]).is_err() && Cbc::new(&[]).is_err() && SeededGcm::new(&[0; 31]).is_err());
    }

    #[test]
    fn damaged_values_have_the_original_texts() {
        let check = |cipher: &dyn Cipher, value: &[u8], expect: &str| {
            assert_eq!(cipher.open(value, b"").unwrap_err().to_string(), expect);
        };
        let (gcm, cbc) = (Gcm::new(&[1; 32]).unwrap(), Cbc::new(&[1; 32]).unwrap());
        check(&gcm, &[0; 11], SHORT);
        check(&gcm, &[0; 12], "cipher: message authentication failed");
        check(&gcm, &[0; 64], "cipher: message authentication failed");
        check(&cbc, &[0; 15], SHORT);
        check(&cbc, &[0; 16], "invalid PKCS7 data (empty or not padded)");
        check(&cbc, &[0; 17], "the stored data is not a multiple of the block size");
        check(&cbc, &[0; 32], "invalid padding on input");
    }
}
