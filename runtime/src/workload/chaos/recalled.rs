//! What chaos did in a run that is over, each thing when its time comes.

use super::ChaosLog;
use crate::context::RunContext;
use crate::replay::Recording;
use crate::report::{Phase, What};
use crate::wait::pause_until;

pub(super) async fn recall(cx: &RunContext, recording: &Recording) -> Result<(), String> {
    if let Some(plan) = recording.drive(cx.number()).and_then(|drive| drive.sections.get("faults")) {
        cx.report("faults", plan);
    }
    let log = cx.state::<ChaosLog>();
    let mut drives = 0;
    for event in recording.events() {
        if matches!(event.what, What::Phase { phase: Phase::Drive }) {
            drives += 1;
        }
        if drives != cx.number() + 1 {
            continue;
        }
        match &event.what {
            What::Disturbance { planned, node } => {
                pause_until(recording.at(event.second)).await;
                cx.record("disturbance", &serde_json::json!({ "planned": planned, "node": node }));
                log.done(planned.clone(), node);
            }
            What::Back { place } => {
                pause_until(recording.at(event.second)).await;
                cx.record("back", &serde_json::json!({ "place": place }));
                log.back(*place);
            }
            _ => {}
        }
    }
    Ok(())
}
