//! Tokens that are tried against what verifies them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use serde_json::json;

use super::*;

/// 32 bytes.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A public key of RSA, whose private key is gone.
const RSA_PEM: &str = "\
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA3G+6CgZpxhBUolj6sBch
S/qnV89+jd9YI+Prs92On1aabw/PftQ69HZq1hxxwdcLHIV+UM3ps/xhTNxJxja9
XW/RRrbMwBDprTJVTJo0QLt5jgN7s38iYlwM3lyqS2l8kjUrTkxNR+Dl1vXqbBMV
MNYG6n7s7qsND7Sm9N2ctaRoRC2mS1req3NYDkaLD8fv3qXBNJbHlRmhH0ABpWNO
HJ9Cl6FXWdO+InmU5y4tMhZtpkhyIRPAXzLGMiUGawxGII3qg3IacZjS9vOyUcCX
75fQgBJclhYP4BwjPE8vvr2Yd6HKdIGigRPiFANnona5Ns6J/TtoUYpEeeym14Pu
8QIDAQAB
-----END PUBLIC KEY-----";

/// Its modulus, as a set has it.
const RSA_N: &str = concat!(
    "3G-6CgZpxhBUolj6sBchS_qnV89-jd9YI-Prs92On1aabw_PftQ69HZq1hxxwdcLHIV-UM3ps_xhTNxJ",
    "xja9XW_RRrbMwBDprTJVTJo0QLt5jgN7s38iYlwM3lyqS2l8kjUrTkxNR-Dl1vXqbBMVMNYG6n7s7qsN",
    "D7Sm9N2ctaRoRC2mS1req3NYDkaLD8fv3qXBNJbHlRmhH0ABpWNOHJ9Cl6FXWdO-InmU5y4tMhZtpkhy",
    "IRPAXzLGMiUGawxGII3qg3IacZjS9vOyUcCX75fQgBJclhYP4BwjPE8vvr2Yd6HKdIGigRPiFANnona5",
    "Ns6J_TtoUYpEeeym14Pu8Q",
);

/// What it has signed: `kid` is r1, `sub` is ann, `exp` is 1000, `experiments` is [1].
const RSA_TOKEN: &str = concat!(
    "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIn0.eyJzdWIiOiJhbm4iLCJleHAiOjEwMDAsImV4cGVyaW1l",
    "bnRzIjpbMV19.lvsA_Lf1GdkEmJJDNQt4Slw8snLMrODGZBr7OOTh1WniaskmeRUa3YMOHpnEbTqwW38",
    "KxwTh3bKXmcef_Ngad_1SSLx9_BejEbFDJxSyubwp0JLfIJgjZM4LmY7dSD7LHagjATCFbpAzeZG-0do",
    "W9QaTn8j2cubK8acoZJkrUyNWCWxLB2tl9urO3ZhLFKXLFbd9ei0ftXBhdpThct6o-kUObwi59grnzPQ",
    "DDlmWmiCrEpeNXcMEMrJEeO8RjwRX6v1KAPNV2U-JxWPdVtyiIQf1JotrX20iZU10eAyhtPT849Pcar0",
    "08j8F-pnHdz06skHdh5MwkSGA7QVii9v7mQ",
);

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn jwt(algorithm: JwtAlgorithm, keys: JwtKeys) -> Jwt {
    Jwt {
        algorithm,
        keys,
        audience: Vec::new(),
        issuer: Vec::new(),
        skew: Duration::ZERO,
        tables_claim: None,
    }
}

fn shared() -> Jwt {
    let keys = JwtKeys::secret(SECRET).expect("a secret");
    jwt(JwtAlgorithm::Hs256, keys)
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn signed(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn by_secret(secret: &str, header: &Value, claims: &Value) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    signed(header, claims, |message| {
        ring::hmac::sign(&key, message).as_ref().to_vec()
    })
}

fn hs256(claims: &Value) -> String {
    by_secret(SECRET, &json!({"alg": "HS256"}), claims)
}

fn refusal(jwt: &Jwt, token: &str, now: u64) -> Option<JwtRefusal> {
    jwt.verify(token, at(now)).err()
}

#[test]
fn a_token_that_is_right_says_what_it_says_until_it_ends() {
    let jwt = shared();
    let token = hs256(&json!({"sub": "ann", "exp": 1000, "nbf": 500, "experiments": [1]}));
    let verified = jwt.verify(&token, at(999)).expect("right");
    assert_eq!(verified.grant.subject, "ann");
    assert_eq!(verified.expires, at(1000));
    assert_eq!(verified.grant.claims.get("experiments"), Some(&json!([1])));
    assert_eq!(verified.grant.tables, None);
    assert_eq!(refusal(&jwt, &token, 1000), Some(JwtRefusal::Expired));
    assert_eq!(refusal(&jwt, &token, 499), Some(JwtRefusal::Early));
    assert_eq!(refusal(&jwt, &token, 500), None);
    // Clocks that are apart.
    let skewed = Jwt {
        skew: Duration::from_secs(60),
        ..jwt
    };
    assert_eq!(refusal(&skewed, &token, 1059), None);
    assert_eq!(refusal(&skewed, &token, 440), None);
    assert_eq!(refusal(&skewed, &token, 1060), Some(JwtRefusal::Expired));
    assert_eq!(refusal(&skewed, &token, 439), Some(JwtRefusal::Early));
}

#[test]
fn what_is_forged_or_malformed_opens_nothing() {
    let jwt = shared();
    let claims = json!({"sub": "ann", "exp": 1000});
    let right = hs256(&claims);
    let (message, signature) = right.rsplit_once('.').expect("three parts");
    let (header, _) = message.split_once('.').expect("two parts");
    let more = part(&json!({"sub": "root", "exp": 9000}));
    let other = by_secret(
        "another secret that has 32 bytes",
        &json!({"alg": "HS256"}),
        &claims,
    );
    for token in [
        "",
        ".",
        "..",
        "a.b.c",
        message,
        &format!("{message}."),
        &format!("{header}.{more}.{signature}"),
        &format!("{right}.{signature}"),
        &format!("{right}A"),
        &other,
        &"a".repeat(MAX_TOKEN_BYTES + 1),
    ] {
        assert_eq!(refusal(&jwt, token, 1), Some(JwtRefusal::Wrong), "{token}");
    }
    // Signed, and not to be taken all the same.
    for claims in [
        json!({"sub": "ann"}),
        json!({"exp": "1000"}),
        json!({"exp": null}),
        json!({"exp": -1}),
        json!({"exp": 1e300}),
        json!({"exp": 1000, "nbf": "0"}),
        json!({"exp": 1000, "aud": "somebody else"}),
        json!([]),
        json!("text"),
    ] {
        let token = hs256(&claims);
        assert_eq!(
            refusal(&jwt, &token, 1),
            Some(JwtRefusal::Wrong),
            "{claims}"
        );
    }
    let critical = json!({"alg": "HS256", "crit": ["exp"]});
    let token = by_secret(SECRET, &critical, &claims);
    assert_eq!(refusal(&jwt, &token, 1), Some(JwtRefusal::Wrong));
}

#[test]
fn the_algorithm_is_that_of_the_configuration() {
    let claims = json!({"exp": 1000});
    let none = |alg: &str| format!("{}.{}.", part(&json!({"alg": alg})), part(&claims));
    let by_public_key = |alg| by_secret(RSA_PEM, &json!({"alg": alg, "kid": "r1"}), &claims);
    let pem = JwtKeys::pem(JwtAlgorithm::Rs256, RSA_PEM).expect("a key");
    let rsa = jwt(JwtAlgorithm::Rs256, pem);
    let set = KeySet::new(JwtAlgorithm::Rs256, Duration::from_secs(60));
    let jwk = json!({"keys": [{"kty": "RSA", "kid": "r1", "n": RSA_N, "e": "AQAB"}]});
    assert_eq!(set.replace(&jwk.to_string()), Ok(1));
    let by_set = jwt(JwtAlgorithm::Rs256, JwtKeys::set(Arc::new(set)));
    for jwt in [&shared(), &rsa, &by_set] {
        for alg in ["none", "None", "NONE", "nOnE", "", "HS256", "RS256"] {
            assert_eq!(
                refusal(jwt, &none(alg), 1),
                Some(JwtRefusal::Wrong),
                "{alg}"
            );
        }
        for alg in [
            "HS256", "RS256", "HS384", "HS512", "PS256", "ES256", "EdDSA",
        ] {
            let token = by_public_key(alg);
            assert_eq!(refusal(jwt, &token, 1), Some(JwtRefusal::Wrong), "{alg}");
        }
    }
    assert_eq!(refusal(&rsa, &hs256(&claims), 1), Some(JwtRefusal::Wrong));
    assert_eq!(refusal(&shared(), RSA_TOKEN, 1), Some(JwtRefusal::Wrong));
    for rsa in [&rsa, &by_set] {
        let verified = rsa.verify(RSA_TOKEN, at(999)).expect("right");
        assert_eq!(verified.grant.subject, "ann");
        assert_eq!(refusal(rsa, RSA_TOKEN, 1000), Some(JwtRefusal::Expired));
    }
}

#[test]
fn who_it_is_for_and_who_has_made_it_are_looked_at() {
    let jwt = Jwt {
        audience: vec!["walgate".to_owned()],
        issuer: vec!["https://id.example".to_owned()],
        ..shared()
    };
    let token = |aud: Value, iss: Value| hs256(&json!({"exp": 9, "aud": aud, "iss": iss}));
    let ours = json!("https://id.example");
    for aud in [json!("walgate"), json!(["other", "walgate"])] {
        assert_eq!(refusal(&jwt, &token(aud, ours.clone()), 1), None);
    }
    for (aud, iss) in [
        (json!("other"), ours.clone()),
        (json!(["other"]), ours.clone()),
        (json!([]), ours.clone()),
        (json!(null), ours.clone()),
        (json!({"walgate": 1}), ours.clone()),
        (json!("walgate"), json!("https://evil.example")),
        (json!("walgate"), json!(null)),
        (json!("walgate"), json!(1)),
    ] {
        let refused = refusal(&jwt, &token(aud.clone(), iss.clone()), 1);
        assert_eq!(refused, Some(JwtRefusal::Wrong), "{aud} {iss}");
    }
    let neither = hs256(&json!({"exp": 9}));
    assert_eq!(refusal(&jwt, &neither, 1), Some(JwtRefusal::Wrong));
}

#[test]
fn keys_of_curves_verify_what_they_have_signed() {
    let random = SystemRandom::new();
    let claims = json!({"exp": 9, "sub": "ann"});
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
    let ed = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a key");
    let ed_jwk = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "e",
        "x": URL_SAFE_NO_PAD.encode(ed.public_key())}]});
    let token = signed(&json!({"alg": "EdDSA", "kid": "e"}), &claims, |message| {
        ed.sign(message).as_ref().to_vec()
    });
    let set = KeySet::new(JwtAlgorithm::EdDsa, Duration::from_secs(60));
    assert_eq!(set.replace(&ed_jwk.to_string()), Ok(1));
    let by_ed = jwt(JwtAlgorithm::EdDsa, JwtKeys::set(Arc::new(set)));
    assert_eq!(refusal(&by_ed, &token, 1), None);

    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
    let ec = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).expect("a key");
    let point = ec.public_key().as_ref();
    let ec_jwk = json!({"keys": [{"kty": "EC", "crv": "P-256",
        "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..])}]});
    let token = signed(&json!({"alg": "ES256"}), &claims, |message| {
        ec.sign(&random, message).expect("signed").as_ref().to_vec()
    });
    let set = KeySet::new(JwtAlgorithm::Es256, Duration::from_secs(60));
    assert_eq!(set.replace(&ec_jwk.to_string()), Ok(1));
    let by_ec = jwt(JwtAlgorithm::Es256, JwtKeys::set(Arc::new(set)));
    assert_eq!(refusal(&by_ec, &token, 1), None);
    assert_eq!(refusal(&by_ed, &token, 1), Some(JwtRefusal::Wrong));
}

#[test]
fn keys_that_can_not_be_right_are_refused() {
    assert!(JwtKeys::secret("too short").is_err());
    assert!(JwtKeys::pem(JwtAlgorithm::Es256, RSA_PEM).is_err());
    assert!(JwtKeys::pem(JwtAlgorithm::Hs256, RSA_PEM).is_err());
    let private = RSA_PEM.replace("PUBLIC", "PRIVATE");
    assert!(JwtKeys::pem(JwtAlgorithm::Rs256, &private).is_err());
    let shown = format!("{:?}", shared());
    assert!(!shown.contains(SECRET), "{shown}");
}

#[test]
fn a_set_keeps_its_keys_until_there_are_others() {
    let set = KeySet::new(JwtAlgorithm::Rs256, Duration::from_secs(60));
    let key = |kid: &str| json!({"kty": "RSA", "kid": kid, "n": RSA_N, "e": "AQAB"});
    assert!(set.find(Some("r1")).is_none());
    let json = json!({"keys": [key("r1"), {"kty": "nonsense"}, 7,
        {"kty": "oct", "kid": "shared", "k": URL_SAFE_NO_PAD.encode(SECRET)},
        {"kty": "RSA", "kid": "for encryption", "use": "enc", "n": RSA_N, "e": "AQAB"},
        {"kty": "RSA", "kid": "for another", "alg": "RS512", "n": RSA_N, "e": "AQAB"}]});
    assert_eq!(set.replace(&json.to_string()), Ok(1));
    assert!(set.find(None).is_some(), "the only one");
    for kid in ["shared", "for encryption", "for another", "", "r2"] {
        assert!(set.find(Some(kid)).is_none(), "{kid}");
    }
    for broken in ["", "{}", "[]", "{\"keys\": []}", "<html>"] {
        assert!(set.replace(broken).is_err(), "{broken}");
        assert!(set.find(Some("r1")).is_some());
    }
    let new = json!({"keys": [key("r2"), key("r3")]}).to_string();
    assert_eq!(set.replace(&new), Ok(2));
    assert!(set.find(Some("r1")).is_none() && set.find(Some("r2")).is_some());
    assert!(set.find(None).is_none(), "which of them is not said");
}

#[test]
fn tables_are_those_that_a_claim_lists() {
    let jwt = Jwt {
        tables_claim: Some("tables".to_owned()),
        ..shared()
    };
    let tables = |claims: Value| {
        let token = hs256(&claims);
        let verified = jwt.verify(&token, at(1)).expect("right");
        verified.grant.tables.map(|tables| tables.len())
    };
    assert_eq!(tables(json!({"exp": 9, "tables": ["a.b", "c.*"]})), Some(2));
    for wrong in [
        json!(null),
        json!("a.b"),
        json!([1]),
        json!([]),
        json!(["a"]),
        json!({}),
    ] {
        assert_eq!(tables(json!({"exp": 9, "tables": wrong})), Some(0));
    }
    assert_eq!(tables(json!({"exp": 9})), Some(0));
}
