//! `explain`, and the fields that shells complete.

use std::sync::LazyLock;

use clap::Args;
use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use xenpod_api::manifest::explain::{Entry, pod};

/// `explain`
#[derive(Debug, Args)]
pub struct Explain {
    /// Everything below it too.
    #[arg(short, long)]
    pub recursive: bool,
    /// The field, such as `spec.containers.env`, or an annotation, such as `xenpod.org/memory`. Names may be cut short, `[]` and `spec.`
    /// be left out.
    #[arg(default_value = "pod", hide_possible_values = true, value_parser = Field)]
    pub field: String,
}

/// Takes any text; shells are told the fields that there are.
#[derive(Clone)]
struct Field;

impl TypedValueParser for Field {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<Self::Value, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(FIELDS.iter().map(|path| PossibleValue::new(path.as_str()))))
    }
}

/// The paths of all fields that are not refused, as one would type them.
static FIELDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    fn add(entry: &Entry, all: &mut Vec<String>) {
        if !entry.refused() {
            all.push(entry.path.replace("[]", ""));
            entry.fields.iter().for_each(|e| add(e, all));
        }
    }
    let mut all = Vec::new();
    add(pod(), &mut all);
    all
});
