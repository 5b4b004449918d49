//! The report as JSON: what other programs read of it.

use crate::json::Json;
use crate::row::{Findings, Row};
use crate::targets::{Target, targets};

impl Findings {
    /// All of it: machine, notes, targets, rows.
    pub(crate) fn json(&self) -> Json {
        let machine = &self.machine;
        let hops = self.hops().map(|hops| hops.map(Json::from));
        Json::object([
            (
                "machine",
                Json::object([
                    ("cpu", (&*machine.cpu).into()),
                    ("cores", machine.cores.into()),
                    ("kernel", (&*machine.kernel).into()),
                    ("rustc", (&*machine.rustc).into()),
                    ("core_to_core_hop_ns", Json::from(self.hops().map(|[_, middle, _]| middle))),
                    ("core_to_core_hop_ns_range", hops.map_or(Json::Null, Json::list)),
                    ("fsync_us", Json::from(self.fsync_us)),
                    ("disk_megabytes_per_second", Json::from(self.disk_rate)),
                ]),
            ),
            ("date", (&*machine.date).into()),
            ("commit", (&*machine.commit).into()),
            ("scale", self.scale.name().into()),
            ("cores_busy_with_others", self.others().into()),
            ("turns", self.turns.into()),
            ("seconds", self.seconds.into()),
            ("notes", Json::list(self.notes.iter().map(|note| (&**note).into()))),
            ("targets", Json::list(targets(self).iter().map(Target::json))),
            ("rows", Json::list(self.rows.iter().map(Row::json))),
        ])
    }
}
