//! Arguments in, exit code out.

use failoverd::cli;
use failoverd::cli::exit::Exit;

fn main() -> Exit {
    // One TLS provider for probes, webhooks and the command line, before anything asks for it.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("a TLS provider is installed already");
    }
    cli::main()
}
