//! The page: files that `web/` beside this crate builds, and that are part of the program.

use std::sync::OnceLock;

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest as _, Sha256};

/// Its own files and its own server, and nothing from anywhere else. What comes in rows is text; if it ever
/// were more, this would stop it.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// One file of the page.
struct File {
    path: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
    tag: OnceLock<String>,
}

impl File {
    const fn new(path: &'static str, kind: &'static str, bytes: &'static [u8]) -> Self {
        Self {
            path,
            kind,
            bytes,
            tag: OnceLock::new(),
        }
    }

    fn tag(&self) -> &str {
        self.tag.get_or_init(|| {
            let hash = Sha256::digest(self.bytes);
            let digits = hash.iter().take(12).map(|byte| format!("{byte:02x}"));
            format!("\"{}\"", digits.collect::<String>())
        })
    }

    /// The file, or that the browser has it already. It is asked for each time: after an update of the
    /// server no page is made of old and new parts.
    fn answer(&self, request: &HeaderMap) -> Response {
        let has_it = request
            .get_all(IF_NONE_MATCH)
            .iter()
            .filter_map(|tags| tags.to_str().ok())
            .flat_map(|tags| tags.split(','))
            .any(|tag| tag.trim().trim_start_matches("W/") == self.tag());
        let headers = [
            (CONTENT_TYPE, self.kind),
            (CACHE_CONTROL, "no-cache"),
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (X_FRAME_OPTIONS, "DENY"),
            (REFERRER_POLICY, "no-referrer"),
        ];
        let mut response = match has_it {
            true => (StatusCode::NOT_MODIFIED, headers).into_response(),
            false => (StatusCode::OK, headers, self.bytes).into_response(),
        };
        // Digits between quotes are a header's value.
        if let Ok(tag) = HeaderValue::from_str(self.tag()) {
            response.headers_mut().insert(ETAG, tag);
        }
        response
    }
}

static FILES: [File; 3] = [
    File::new(
        "/",
        "text/html; charset=utf-8",
        include_bytes!("../web/dist/index.html"),
    ),
    File::new(
        "/page.css",
        "text/css; charset=utf-8",
        include_bytes!("../web/dist/page.css"),
    ),
    File::new(
        "/page.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../web/dist/page.js"),
    ),
];

/// The routes of the page.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.iter().fold(Router::new(), |router, file| {
        let answer = move |headers: HeaderMap| async move { file.answer(&headers) };
        router.route(file.path, get(answer))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_that_has_a_file_is_not_sent_it_again() {
        let file = &FILES[0];
        let first = file.answer(&HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let tag = first.headers()[ETAG].clone();
        for (sent, status) in [
            (tag.to_str().expect("text").to_owned(), 304),
            (format!("\"other\", W/{}", file.tag()), 304),
            ("\"other\"".to_owned(), 200),
        ] {
            let headers = HeaderMap::from_iter([(
                IF_NONE_MATCH,
                HeaderValue::from_str(&sent).expect("a header"),
            )]);
            assert_eq!(file.answer(&headers).status(), status, "{sent}");
        }
    }

    #[test]
    fn the_page_asks_nobody_else() {
        for file in &FILES {
            let text = std::str::from_utf8(file.bytes).expect("text");
            for scheme in ["https://", "http://", "//cdn", "@import"] {
                let found = text.find(scheme).map(|at| &text[at..]);
                let is_name = found.is_none_or(|found| found.starts_with("http://www.w3.org/"));
                assert!(
                    is_name,
                    "{}: {:?}",
                    file.path,
                    found.map(|f| &f[..60.min(f.len())])
                );
            }
        }
        assert!(POLICY.starts_with("default-src 'self'"));
    }
}
