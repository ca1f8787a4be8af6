//! What became of transactions and blobs, over time and by how long it took.

use std::collections::HashMap;

use serde_json::json;

use super::{Chart, seconds, time, tooltip, zoom};
use crate::report::saved::{Saved, Submission};

/// Bars of a histogram.
const BARS: usize = 32;
/// Points of a line that are worth drawing.
const POINTS: usize = 600;

/// How many were submitted and included by when.
pub(super) fn flow(
    saved: &Saved,
    id: &'static str,
    title: &'static str,
    what: &[Submission],
) -> Option<Chart> {
    let lines = moments(saved, what);
    let mut values = Vec::new();
    let mut rows = Vec::new();
    for (name, mut moments) in lines {
        moments.sort_by(f64::total_cmp);
        let step = moments.len().div_ceil(POINTS).max(1);
        for (place, at) in moments.iter().enumerate() {
            if place % step == 0 || place + 1 == moments.len() {
                values.push(json!({ "at": at, "of": name, "count": place + 1 }));
                rows.push(vec![seconds(*at), name.to_owned(), (place + 1).to_string()]);
            }
        }
    }
    (!values.is_empty()).then(|| Chart {
        id,
        title,
        about: format!("How many {id} had been submitted, and were first seen in a block, by when. The gap between the lines is what was under way."),
        spec: json!({
            "height": 180,
            "data": { "values": values },
            "selection": zoom(),
            "mark": { "type": "line", "clip": true, "interpolate": "step-after" },
            "encoding": {
                "x": time("at", saved),
                "y": { "field": "count", "type": "quantitative", "title": id },
                "color": { "field": "of", "type": "nominal", "title": "" },
                "tooltip": tooltip(&["of", "count", "at"]),
            },
        }),
        columns: &["second", "of", "count"],
        rows,
    })
}

/// Seconds since the run began at which each was submitted, and first seen in a block.
fn moments(saved: &Saved, what: &[Submission]) -> [(&'static str, Vec<f64>); 2] {
    let blocks = saved.blocks();
    let submitted = what.iter().filter_map(|it| it.second).collect();
    let included = what.iter().filter_map(|it| first_block(it, &blocks)).collect();
    [("submitted", submitted), ("in a block", included)]
}

fn first_block(it: &Submission, blocks: &HashMap<&str, f64>) -> Option<f64> {
    it.blocks.iter().filter_map(|block| blocks.get(block.id.as_str()).copied()).min_by(f64::total_cmp)
}

/// Seconds from submission to the first block, as a histogram.
pub(super) fn latency(
    saved: &Saved,
    id: &'static str,
    title: &'static str,
    what: &[Submission],
) -> Option<Chart> {
    let blocks = saved.blocks();
    let took = |it: &Submission| Some((first_block(it, &blocks)? - it.second?).max(0.0));
    let mut took: Vec<f64> = what.iter().filter_map(took).collect();
    took.sort_by(f64::total_cmp);
    let longest = *took.last()?;
    let width = (longest / BARS as f64).max(0.001);
    let mut counts = [0_usize; BARS];
    for seconds in &took {
        counts[((seconds / width) as usize).min(BARS - 1)] += 1;
    }
    let bars = counts
        .iter()
        .enumerate()
        .map(|(place, count)| (place as f64 * width, (place + 1) as f64 * width, *count));
    let values: Vec<_> =
        bars.clone().map(|(from, to, count)| json!({ "from": from, "to": to, "count": count })).collect();
    Some(Chart {
        id,
        title,
        about: format!(
            "From submission until a block with it was first seen, {} of {}.",
            took.len(),
            what.len()
        ),
        spec: json!({
            "height": 160,
            "data": { "values": values },
            "mark": { "type": "bar", "binSpacing": 1 },
            "encoding": {
                "x": { "field": "from", "type": "quantitative", "title": "seconds", "bin": { "binned": true } },
                "x2": { "field": "to" },
                "y": { "field": "count", "type": "quantitative", "title": "how many" },
                "tooltip": tooltip(&["from", "to", "count"]),
            },
        }),
        columns: &["from second", "to second", "how many"],
        rows: bars.map(|(from, to, count)| vec![seconds(from), seconds(to), count.to_string()]).collect(),
    })
}
