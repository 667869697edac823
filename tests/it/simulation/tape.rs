//! What the simulated daemon would have recorded.

use failoverd::config::FileText;
use failoverd::control::carried::Carried;
use failoverd::control::journal::Entry;
use failoverd::control::{Controller, Event, Loaded, Restored};
use failoverd::record::{Began, Load, Reader, Replay, Step, Writer, began};
use failoverd::time::Now;

/// Events between two segments.
const SEGMENT: u64 = 1500;

/// The record of one world, as chunks.
pub struct Tape {
    chunks: Vec<Vec<u8>>,
    writer: Writer,
    /// Configurations in the order in which they were read; a file of one name holds its number.
    loads: Vec<Loaded>,
    run: u64,
    part: u64,
    events: u64,
}

impl Default for Tape {
    fn default() -> Self {
        let (chunks, loads) = Default::default();
        Self { chunks, writer: Writer::new(Now::default()), loads, run: 0, part: 0, events: 0 }
    }
}

impl Tape {
    /// The same, to be known again.
    pub fn read(&mut self, loaded: Loaded) -> Loaded {
        let number = FileText { path: "number".into(), text: self.loads.len().to_string() };
        let loaded = Loaded { files: [number].into(), ..loaded };
        self.loads.push(loaded.clone());
        loaded
    }

    /// A controller starts.
    pub fn start(&mut self, loaded: &Loaded, restored: &Restored, now: Now) {
        (self.run, self.part) = (self.run + 1, 0);
        self.begin(Load::of(loaded), Carried { restored: restored.clone(), ..Carried::default() }, now);
    }

    fn begin(&mut self, load: Load, carried: Carried, now: Now) {
        self.flush();
        let (run, part) = (self.run, self.part);
        self.chunks.push(began(&Began { run, part, missing: 0, now, load: load.into(), carried }));
        self.writer = Writer::new(now);
        (self.part, self.events) = (part + 1, 0);
    }

    pub fn event(&mut self, event: &Event, now: Now) {
        self.events += 1;
        self.writer.event(event, now);
    }

    /// Published; after it a segment may end.
    pub fn published(&mut self, controller: &Controller, now: Now, served: bool, entries: &[Entry]) {
        self.writer.published(now, served.then_some(now), entries);
        let in_force =
            self.loads.iter().rev().find(|loaded| std::sync::Arc::ptr_eq(&loaded.config, controller.config()));
        if self.events >= SEGMENT
            && let Some(loaded) = in_force.cloned()
        {
            self.begin(Load::of(&loaded), controller.carried(now), now);
        }
    }

    fn flush(&mut self) {
        let (bytes, _) = self.writer.take();
        self.chunks.extend((!bytes.is_empty()).then_some(bytes));
    }

    /// All steps, from the segment of this number on.
    pub fn steps(&mut self, from: usize) -> Vec<Step> {
        self.flush();
        let (mut reader, mut steps, mut segment) = (Reader::default(), Vec::new(), 0);
        for chunk in &self.chunks {
            reader.read(chunk, &mut |step| steps.push(step)).expect("what was written");
        }
        steps.retain(|step| {
            segment += usize::from(matches!(step, Step::Began(_)));
            segment > from
        });
        steps
    }

    /// Gives what was recorded of a configuration back as it was.
    pub fn load(&self) -> impl Fn(&Load) -> Result<Loaded, String> {
        |load| {
            let number: usize = load.files[0].text.parse().expect("a number");
            Ok(self.loads[number].clone())
        }
    }

    /// Bytes it takes, of how many events.
    pub fn size(&self) -> usize {
        self.chunks.iter().map(Vec::len).sum()
    }
}

/// The record decided again.
pub fn replayed(tape: &mut Tape, from: usize) -> failoverd::record::Outcome {
    let steps = tape.steps(from);
    let load = tape.load();
    let mut replay = Replay::new(&load);
    for step in steps {
        replay.step(step).expect("its configurations");
    }
    replay.end(&|_, _| true)
}
