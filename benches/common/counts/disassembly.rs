//! Which instructions of a file lock a cache line or order all memory, as `objdump` shows them.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use super::callgrind::Profile;

/// An instruction that costs more than others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    /// It changes memory as one step, and has the cache line alone meanwhile.
    Locked,
    /// It waits until all earlier stores are seen.
    Fence,
}

/// The special instructions of files, by file and offset.
#[derive(Default)]
pub(crate) struct Kinds {
    special: HashMap<String, HashMap<u64, Special>>,
}

/// The part of what ran in a file that must stand in its disassembly: else they are two programs.
const LEAST_FOUND: f64 = 0.999;

impl Kinds {
    pub(crate) fn of(&self, object: &str, address: u64) -> Option<Special> {
        self.special.get(object)?.get(&address).copied()
    }

    /// Looks up all that ran in these profiles.
    pub(crate) fn add(&mut self, objdump: &Path, profiles: [&Profile; 3]) -> Result<(), String> {
        let mut executed: BTreeMap<&str, HashMap<u64, u64>> = BTreeMap::new();
        for profile in profiles {
            for line in profile.threads().flat_map(|thread| profile.lines(thread)) {
                let times = executed.entry(line.object).or_default();
                *times.entry(line.address).or_default() += line.times;
            }
        }
        for (object, executed) in executed {
            // What the kernel maps in by itself, such as its clock, is no file.
            if Path::new(object).is_file() {
                self.look_up(objdump, object, &executed)?;
            }
        }
        Ok(())
    }

    /// Adds a file. `executed` says which of its addresses ran, and how often.
    fn look_up(
        &mut self,
        objdump: &Path,
        object: &str,
        executed: &HashMap<u64, u64>,
    ) -> Result<(), String> {
        let mut child = Command::new(objdump)
            .args(["-d", "--no-show-raw-insn", object])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let output = child.stdout.take().ok_or("no output of objdump")?;
        let mut special = HashMap::new();
        let mut found = 0;
        for line in BufReader::new(output).split(b'\n') {
            let line = line.map_err(|error| error.to_string())?;
            let Some((address, kind)) = parse(&String::from_utf8_lossy(&line)) else { continue };
            let Some(times) = executed.get(&address) else { continue };
            found += times;
            if let Some(kind) = kind {
                special.insert(address, kind);
            }
        }
        child.wait().map_err(|error| error.to_string())?;
        let all: u64 = executed.values().sum();
        if (found as f64) < LEAST_FOUND * all as f64 {
            return Err(format!("{object}: {found} of {all} executions are in the disassembly"));
        }
        self.special.insert(object.to_owned(), special);
        Ok(())
    }
}

/// An instruction's address, and whether it is special.
type Instruction = (u64, Option<Special>);

/// An instruction; `None` if the line is none.
pub(crate) fn parse(line: &str) -> Option<Instruction> {
    let (address, instruction) = line.split_once(":\t")?;
    let address = u64::from_str_radix(address.trim(), 16).ok()?;
    let (name, operands) = instruction.split_once(char::is_whitespace).unwrap_or((instruction, ""));
    let kind = match name {
        "mfence" => Some(Special::Fence),
        // The line of the own stack is nobody else's: it is locked for the order alone.
        "lock" if operands.contains("(%rsp)") => Some(Special::Fence),
        "lock" => Some(Special::Locked),
        // An exchange with memory locks without saying so.
        "xchg" | "xchgb" | "xchgw" | "xchgl" | "xchgq" if operands.contains('(') => {
            Some(Special::Locked)
        }
        _ => None,
    };
    Some((address, kind))
}

/// Lines of a disassembly, and what they mean.
pub(crate) const EXAMPLE: [(&str, Option<Instruction>); 7] = [
    ("  1f:\tlock cmpxchg %rcx,0x80(%rbx)", Some((0x1f, Some(Special::Locked)))),
    ("  2f:\tlock orl $0x0,-0x40(%rsp)", Some((0x2f, Some(Special::Fence)))),
    ("  3f:\txchg   %rax,0x10(%rdi)", Some((0x3f, Some(Special::Locked)))),
    ("  4f:\txchg   %ax,%ax", Some((0x4f, None))),
    ("  5f:\tmfence", Some((0x5f, Some(Special::Fence)))),
    ("  6f:\tmov    0x8(%rsi),%rax", Some((0x6f, None))),
    ("00000000000a64a0 <__rustc::__rust_alloc>:", None),
];
