//! What a failed exchange with an upstream means for the visitor.

use adit_api::Code;
use adit_web::Body;
use http::Request;

/// A request that got no response.
pub(super) struct Failure {
    /// The honest answer.
    pub(super) code: Code,
    /// The request, if none of it was sent.
    pub(super) unsent: Option<Request<Body>>,
}

/// Tells whose side an error of the upstream connection is on.
pub(super) fn code_of(error: &hyper::Error, session: &adit_mux::Session) -> Code {
    if let Some(code) = visitors_own(error) {
        return code;
    }
    if session.is_closed() { Code::AgentLost } else { Code::UpstreamBroken }
}

/// The visitor's body can end the exchange too: by a pause that is too long, or by breaking off.
fn visitors_own(error: &hyper::Error) -> Option<Code> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        match cause.downcast_ref::<adit_web::BodyError>() {
            Some(adit_web::BodyError::Idle) => return Some(Code::RequestTimeout),
            Some(adit_web::BodyError::Visitor(_)) => return Some(Code::BadRequest),
            _ => source = cause.source(),
        }
    }
    None
}
