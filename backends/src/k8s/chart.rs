//! The objects of a plan as the template of a Helm chart, for clusters that outlive a test: what depends on where and
//! when they are made is left to the chart's values.

use std::time::UNIX_EPOCH;

use logos_scenario_runtime::deployer::DeployError;
use logos_scenario_runtime::plan::Plan;

use super::labels::{CLUSTER, Names};
use super::render::{self, Look, Storage};
use crate::env::Settings;
use crate::planned;

/// Words that stand in the objects for what a chart's values say.
const NAMESPACE: &str = "release-namespace";
const IMAGE: &str = "values-image";
const RELAY_IMAGE: &str = "values-relay-image";
const PULL_POLICY: &str = "values-pull-policy";
const MEMORY: &str = "values-memory";
const REQUESTED_MEMORY: &str = "values-requested-memory";
/// The epoch, as it stands in configurations.
const START_TIME: &str = "1970-01-01T00:00:00.000Z";

const HEAD: &str = "\
# The same objects as a scenario's, made from the same model: rewrite with `UPDATE=1 cargo test --test meta`.
{{- $start := .Values.startTime | default (dateInZone \"2006-01-02T15:04:05.000Z\" now \"UTC\") }}
";

/// What a chart says in place of each word.
const SAID: [(&str, &str); 7] = [
    (NAMESPACE, "{{ .Release.Namespace }}"),
    (IMAGE, "{{ .Values.image }}"),
    (RELAY_IMAGE, "{{ .Values.relayImage }}"),
    (PULL_POLICY, "{{ .Values.imagePullPolicy }}"),
    (REQUESTED_MEMORY, "{{ .Values.requestedMemory }}"),
    (MEMORY, "{{ .Values.memory }}"),
    (START_TIME, "{{ $start }}"),
];

/// The template of a plan: all but the namespace, which is Helm's to make.
pub(super) fn template(plan: &Plan) -> Result<String, DeployError> {
    let text = SAID.iter().fold(escaped(&objects(plan)?), |text, (word, said)| text.replace(word, said));
    Ok(format!("{HEAD}{text}"))
}

fn objects(plan: &Plan) -> Result<String, DeployError> {
    let rendered = planned::render(plan, &render::bindings(plan, UNIX_EPOCH))?;
    let labels = [(CLUSTER.to_owned(), NAMESPACE.to_owned())].into();
    let names = Names { cluster: NAMESPACE.to_owned(), labels };
    let look = Look {
        image: IMAGE.to_owned(),
        relay_image: RELAY_IMAGE.to_owned(),
        pull_policy: PULL_POLICY.to_owned(),
        memory: MEMORY.to_owned(),
        requested_memory: REQUESTED_MEMORY.to_owned(),
        cpus: None,
        node_ports: false,
    };
    let storage = Storage::Class(None);
    let objects = render::objects(plan, &rendered, &names, &look, &storage, &Settings::default());
    Ok(render::to_text("", objects.all().skip(1)))
}

/// A text in which Helm finds nothing to replace.
fn escaped(text: &str) -> String {
    text.replace("{{", "{{ \"{{\" }}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::render::tests::{plan, relayed};

    #[test]
    fn what_is_not_the_chart_s_is_left_as_it_is() {
        let mut plan = plan();
        plan.nodes[0].args.push("{{ .Own }}".to_owned());
        assert!(template(&plan).unwrap().contains("{{ \"{{\" }} .Own }}"));
    }

    /// With the values of a scenario the chart makes a scenario's objects.
    #[test]
    fn a_chart_makes_the_same_objects() {
        let settings = Settings::default();
        let (names, look) = (
            Names { cluster: "here".into(), labels: [(CLUSTER.to_owned(), "here".to_owned())].into() },
            Look::new(&settings),
        );
        let plan = relayed();
        let rendered = plan.render(&render::bindings(&plan, UNIX_EPOCH)).unwrap();
        let objects = render::objects(&plan, &rendered, &names, &look, &Storage::Class(None), &settings);
        let values = [
            ("{{ .Release.Namespace }}", "here"),
            ("{{ .Values.image }}", &look.image),
            ("{{ .Values.relayImage }}", &look.relay_image),
            ("{{ .Values.imagePullPolicy }}", &look.pull_policy),
            ("{{ .Values.requestedMemory }}", &format!("\"{}\"", look.requested_memory)),
            ("{{ .Values.memory }}", &format!("\"{}\"", look.memory)),
            ("{{ $start }}", START_TIME),
        ];
        let chart = template(&plan).unwrap();
        let chart = values.iter().fold(chart, |text, (said, value)| text.replace(said, value));
        assert_eq!(chart.strip_prefix(HEAD).unwrap(), render::to_text("", objects.all().skip(1)));
    }
}
