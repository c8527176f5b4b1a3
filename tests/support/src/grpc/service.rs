//! What tonic wants of a service beside its answers.

/// Makes a type that is `Clone` the gRPC service of this name. Each request is answered by the
/// last argument, an asynchronous expression of a clone and the request; the caller's crate depends
/// on `http` and `tonic`.
///
/// ```text
/// grpc_service!(Pages, "history.v1.History", |it, request| {
///     Grpc::new(RawCodec).unary(it, request).await
/// });
/// ```
#[macro_export]
macro_rules! grpc_service {
    ($service:ty, $name:literal, |$it:ident, $request:ident| $answer:expr) => {
        impl ::tonic::server::NamedService for $service {
            const NAME: &'static str = $name;
        }

        impl ::tonic::codegen::Service<::http::Request<::tonic::body::Body>> for $service {
            type Response = ::http::Response<::tonic::body::Body>;
            type Error = ::std::convert::Infallible;
            type Future = ::tonic::codegen::BoxFuture<Self::Response, Self::Error>;

            fn poll_ready(
                &mut self,
                _: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<Result<(), Self::Error>> {
                ::std::task::Poll::Ready(Ok(()))
            }

            fn call(&mut self, $request: ::http::Request<::tonic::body::Body>) -> Self::Future {
                let $it = self.clone();
                Box::pin(async move { Ok($answer) })
            }
        }
    };
}
