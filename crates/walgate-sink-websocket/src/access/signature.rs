//! Signatures of tokens, verified by ring.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::{hmac, signature as ring_signature};

/// What the library asks to verify; it signs nothing for us.
static RING: CryptoProvider = CryptoProvider {
    signer_factory: no_signer,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Has the library verify by ring. The first who says so in a process is heard.
pub(super) fn use_ring() {
    // It is there already, and was put there here.
    let _installed = RING.install_default();
}

fn no_signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(ErrorKind::InvalidAlgorithm.into())
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let algorithm = *algorithm;
    // A public key is no shared secret.
    if key.family() != algorithm.family() || !KNOWN.contains(&algorithm) {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    let key = key.clone();
    Ok(Box::new(Ring { algorithm, key }))
}

const KNOWN: [Algorithm; 4] = [
    Algorithm::HS256,
    Algorithm::RS256,
    Algorithm::ES256,
    Algorithm::EdDSA,
];

struct Ring {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl JwtVerifier for Ring {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for Ring {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let wrong = |_| signature::Error::new();
        let by = |algorithm: &'static dyn ring_signature::VerificationAlgorithm, key: &[u8]| {
            let key = ring_signature::UnparsedPublicKey::new(algorithm, key);
            key.verify(message, signature).map_err(wrong)
        };
        match (self.algorithm.family(), self.key.kind()) {
            (AlgorithmFamily::Hmac, DecodingKeyKind::SecretOrDer(secret)) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                hmac::verify(&key, message, signature).map_err(wrong)
            }
            (AlgorithmFamily::Rsa, DecodingKeyKind::SecretOrDer(der)) => {
                by(&ring_signature::RSA_PKCS1_2048_8192_SHA256, der)
            }
            (AlgorithmFamily::Rsa, DecodingKeyKind::RsaModulusExponent { n, e }) => {
                let key = ring_signature::RsaPublicKeyComponents { n, e };
                let algorithm = &ring_signature::RSA_PKCS1_2048_8192_SHA256;
                key.verify(algorithm, message, signature).map_err(wrong)
            }
            (AlgorithmFamily::Ec, DecodingKeyKind::SecretOrDer(point)) => {
                by(&ring_signature::ECDSA_P256_SHA256_FIXED, point)
            }
            (AlgorithmFamily::Ed, DecodingKeyKind::SecretOrDer(key)) => {
                by(&ring_signature::ED25519, key)
            }
            (_, DecodingKeyKind::RsaModulusExponent { .. }) => Err(signature::Error::new()),
        }
    }
}
