//! An S3 server that serves a folder, on loopback.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use s3s::Body;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

pub const ACCESS_KEY: &str = "reader";
pub const SECRET_KEY: &str = "only-for-tests";

/// A place where nobody listens: connections are refused. It stays reserved, so that no other
/// program can begin to listen there meanwhile.
pub struct Reserved {
    socket: TcpSocket,
    pub address: SocketAddr,
}

impl Reserved {
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = socket.local_addr().unwrap();
        Reserved { socket, address }
    }

    /// Serves the folders in this one, each as a bucket.
    pub fn serve(self, root: &Path) -> Server {
        let service = {
            let mut builder = S3ServiceBuilder::new(FileSystem::new(root).unwrap());
            builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
            builder.build()
        };
        let shared =
            Arc::new(Shared { requests: Mutex::default(), gate: watch::Sender::new(true) });
        let (stop, stopped) = oneshot::channel();
        let listener = self.socket.listen(1024).unwrap();
        let task = tokio::spawn(accept(listener, service, Arc::clone(&shared), stopped));
        Server { shared, stop, task }
    }
}

/// A server, for as long as this is there.
pub struct Server {
    shared: Arc<Shared>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

struct Shared {
    /// Of each request, the method and the path.
    requests: Mutex<Vec<(String, String)>>,
    /// Whether requests are answered. Otherwise they wait.
    gate: watch::Sender<bool>,
}

impl Server {
    /// How many requests of this kind have come for an object.
    pub fn requests(&self, method: &str, object: &str) -> usize {
        let requests = self.shared.requests.lock().unwrap();
        requests.iter().filter(|(by, path)| by == method && path.ends_with(object)).count()
    }

    /// Lets all requests wait from now on.
    pub fn shut_gate(&self) {
        self.shared.gate.send_replace(false);
    }

    pub fn open_gate(&self) {
        self.shared.gate.send_replace(true);
    }

    /// Ends it with all its connections. When this returns, nobody listens any more.
    pub async fn stop(self) {
        drop(self.stop);
        self.task.await.unwrap();
    }
}

async fn accept(
    listener: TcpListener,
    service: S3Service,
    shared: Arc<Shared>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stopped => break,
        };
        let Ok((socket, _)) = accepted else { continue };
        while connections.try_join_next().is_some() {}
        let (service, shared) = (service.clone(), Arc::clone(&shared));
        let answer = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let (service, shared) = (service.clone(), Arc::clone(&shared));
            async move {
                let kind = (request.method().to_string(), request.uri().path().to_owned());
                shared.requests.lock().unwrap().push(kind);
                let mut gate = shared.gate.subscribe();
                gate.wait_for(|is_open| *is_open).await.expect("`shared` has the sender");
                let answer = service.call(request.map(Body::from)).await;
                Ok::<_, Infallible>(answer.expect("what S3 refuses is an answer as well"))
            }
        });
        connections.spawn(async move {
            // A client that goes away is an error here.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), answer).await;
        });
    }
    drop(listener);
    connections.shutdown().await;
}
