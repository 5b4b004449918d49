//! The inventory engine [Stockade](stockade) over HTTP, for services in any language.
//!
//! [`router`] makes an axum router of a manager. Mount it in a server of your own, or let
//! [`serve`] run it with limits on connections, headers and time. The OpenAPI document is at
//! `/openapi.json`; a refusal is `application/problem+json` with the error's stable code and its
//! numbers (`docs/http.md`).
//!
//! No handler waits for the disk in a thread of the runtime. Where an answer is to be durable, it
//! is awaited. Build the manager with [`Backpressure::Refuse`](stockade::Backpressure::Refuse):
//! then a full queue is `429` at once. With [`Wait`](stockade::Backpressure::Wait), the default, it
//! would hold up a thread of the runtime.
//!
//! ```
//! use stockade::{Backpressure, InventoryManager};
//! use stockade_http::{Auth, router};
//!
//! let builder = InventoryManager::builder().warehouse("SF").backpressure(Backpressure::Refuse);
//! let manager = builder.build()?;
//! let service: axum::Router = router(manager, Auth::loopback_only());
//! # let _ = service;
//! # Ok::<(), stockade::Error>(())
//! ```

#![warn(missing_docs)]

mod auth;
mod call;
mod options;
mod origin;
mod problem;
mod routes;
mod server;
mod shop;
mod status;

pub use auth::Auth;
pub use auth::tokens::{InvalidTokens, NewToken, Role, Tokens};
pub use options::{HttpOptions, Waits};
pub use routes::{openapi, router, router_with};
pub use server::{ServerLimits, Service, serve};
