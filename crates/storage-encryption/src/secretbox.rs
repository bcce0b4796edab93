//! NaCl's secretbox as the original stores it: nonce, tag, ciphertext.

use crypto_secretbox::aead::{AeadInPlace, KeyInit};
use crypto_secretbox::{Tag, XSalsa20Poly1305};
use environment::Random;
use storage::TransformError;

use crate::cipher::{BadKey, Cipher, Opened, SHORT, failure, split};

const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// Authenticated, but not bound to the storage key.
pub(crate) struct Secretbox {
    cipher: XSalsa20Poly1305,
}

impl Secretbox {
    /// Takes 32 bytes.
    pub(crate) fn new(key: &[u8]) -> Result<Secretbox, BadKey> {
        let cipher = XSalsa20Poly1305::new_from_slice(key).map_err(|_| BadKey(key.len()))?;
        Ok(Secretbox { cipher })
    }
}

impl Cipher for Secretbox {
    fn seal(
        &self,
        random: &dyn Random,
        data: &[u8],
        _context: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), TransformError> {
        let mut nonce = [0; NONCE_BYTES];
        random.fill(&mut nonce);
        let mut sealed = data.to_vec();
        let tag = self
            .cipher
            .encrypt_in_place_detached(&nonce.into(), b"", &mut sealed)
            .map_err(|_| failure("the data cannot be encrypted"))?;
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&tag);
        out.extend_from_slice(&sealed);
        Ok(())
    }

    fn open(&self, sealed: &[u8], _context: &[u8]) -> Opened {
        let (nonce, sealed) = split::<NONCE_BYTES>(sealed).ok_or_else(|| failure(SHORT))?;
        let (tag, sealed) = split::<TAG_BYTES>(sealed).ok_or_else(|| failure(SHORT))?;
        let mut data = sealed.to_vec();
        self.cipher
            .decrypt_in_place_detached(&(*nonce).into(), b"", &mut data, Tag::from_slice(tag))
            // The original's text, whatever it means.
            .map_err(|_| failure("output array was not large enough for encryption"))?;
        Ok(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cipher::testing::{Counting, hex};

    const KEY: &str = "1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389";

    #[test]
    fn the_box_of_nacl_s_documentation_opens() {
        // "Cryptography in NaCl", section 10.
        let boxed = Secretbox::new(&hex(KEY)).unwrap();
        let plain = hex(concat!(
            "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c6129",
            "6cdc3c01233561f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde",
            "048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f937763848645e0705"
        ));
        let value = hex(concat!(
            "69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37",
            "f3ffc7703f9400e52a7dfb4b3d3305d9",
            "8e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b4da7f011ec48c972",
            "71d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da",
            "99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5"
        ));
        assert_eq!(boxed.open(&value, b"").unwrap(), plain);
    }

    #[test]
    fn what_is_sealed_opens_under_any_storage_key_and_only_whole() {
        let boxed = Secretbox::new(&hex(KEY)).unwrap();
        let mut out = Vec::new();
        boxed.seal(&Counting::default(), b"Kubernetes", b"", &mut out).unwrap();
        assert_eq!(out.len(), 24 + 16 + 10);
        assert_eq!(out[..24], (0..24).collect::<Vec<u8>>());
        assert_eq!(boxed.open(&out, b"elsewhere").unwrap(), b"Kubernetes");
        out[30] ^= 1;
        assert!(boxed.open(&out, b"").is_err());
    }

    #[test]
    fn damaged_values_and_keys_are_refused() {
        assert!(Secretbox::new(&[0; 16]).is_err());
        let boxed = Secretbox::new(&[0; 32]).unwrap();
        assert_eq!(boxed.open(&[0; 39], b"").unwrap_err().to_string(), SHORT);
        assert!(boxed.open(&[0; 40], b"").is_err());
    }
}
