using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "image", worker = .image),
    # Where the storage of the Durable Object is: on the command line, --directory-path storage=FOLDER.
    (name = "storage", disk = (writable = true)),
    # Targets to send the image to. On a machine of one's own they may be in any network.
    (name = "internet", network = (allow = ["public", "private"])),
  ],
  # On the command line: --socket-addr http=ADDRESS.
  sockets = [(name = "http", address = "127.0.0.1:8787", http = (), service = "image")],
);

const image :Workerd.Worker = (
  modules = [
    (name = "worker.js", esModule = embed "../../build/examples/worker/worker.js"),
    (name = "core.shared.wasm", wasm = embed "../../build/examples/worker/core.shared.wasm"),
    (name = "core.plain.wasm", wasm = embed "../../build/examples/worker/core.plain.wasm"),
  ],
  compatibilityDate = "2026-11-01",
  bindings = [
    (name = "HOLDER", durableObjectNamespace = "ImageHolder"),
    (name = "TOKEN", fromEnvironment = "MULTIFD_TOKEN"),
    (name = "CHANNELS", fromEnvironment = "MULTIFD_CHANNELS"),
  ],
  durableObjectNamespaces = [(className = "ImageHolder", uniqueKey = "multifd-image", enableSql = true)],
  durableObjectStorage = (localDisk = "storage"),
);
