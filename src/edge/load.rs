//! A configuration and its zones from disk, checked: the one code path of start, reload and `failoverd check`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::config;
use crate::control::Loaded;
use crate::dns::Name;
use crate::edge::files::Disk;
use crate::zone::Files;
use crate::zone::load::load as load_zone;

/// Reads and checks the configuration at `path` and every zone it names.
///
/// # Errors
/// All errors of the files, as a person reads them: those of the configuration, else those of all zones, else those
/// of both together.
pub fn load(path: &Path) -> Result<Loaded, String> {
    load_from(&Disk::default(), path)
}

/// The same, from these files.
///
/// # Errors
/// As [`load`].
pub fn load_from(files: &dyn Files, path: &Path) -> Result<Loaded, String> {
    let environment = |name: &str| std::env::var(name).ok();
    let read = config::read(files, path, &environment, &host_name()).map_err(|errors| errors.to_string())?;
    let mut warnings = read.warnings.clone();
    let mut zones = Vec::new();
    let mut errors = Vec::new();
    let steered: BTreeSet<&Name> = read.config.steers.iter().map(|steer| &steer.name).collect();
    for zone in &read.config.zones {
        match load_zone(files, &zone.apex, &zone.file, &|name| steered.contains(name)) {
            Ok(loaded) => {
                warnings.extend(loaded.report.lines());
                zones.push(loaded);
            }
            Err(report) => errors.push(report.to_string()),
        }
    }
    if !errors.is_empty() {
        return Err(errors.join("\n"));
    }
    warnings.extend(read.against(&zones).map_err(|errors| errors.to_string())?);
    Ok(Loaded { config: Arc::new(read.config), zones, warnings })
}

/// The machine's name: the node's, where the configuration gives none.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
