//! All routes of the app's host on one page.

use adit_api::{Code, capability};
use adit_domain::id::RequestId;
use adit_web::service::boxed;
use adit_web::{Body, BodyError, HttpService, body};
use axum::Router;
use axum::routing::{get, post};
use http::header::ALLOW;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::refusal::refused;
use crate::{ControlPlane, exchange};

impl ControlPlane {
    /// The HTTP API as a router.
    pub fn app(&self) -> Router {
        let exchange = post(exchange::exchange).fallback(only_post);
        Router::new()
            .route(capability::PATH, exchange)
            .route("/livez", get(async || StatusCode::NO_CONTENT))
            .fallback(async || refused(Code::NotFound, RequestId::new()))
            .with_state(self.clone())
    }

    /// The same as a service that a node's listener can reserve a host for.
    #[must_use]
    pub fn service(&self) -> HttpService {
        let requests = |request: Request<_>| {
            let came_in = request.version();
            request.map(|incoming| axum::body::Body::new(body::from_visitor(incoming, came_in)))
        };
        let responses = |response: Response<axum::body::Body>| -> Response<Body> {
            response.map(|body| body.map_err(|_| BodyError::Cut).boxed_unsync())
        };
        boxed(self.app().map_request(requests).map_response(responses))
    }
}

async fn only_post() -> Response<axum::body::Body> {
    let mut response = refused(Code::MethodNotAllowed, RequestId::new());
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    response
}
