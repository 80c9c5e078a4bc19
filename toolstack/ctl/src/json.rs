//! D-Bus values as JSON, and properties as a JSON object.

use std::collections::HashMap;

use serde_json::{Map, Value};
use zbus::{OwnedVariant, Variant};

/// One value. File descriptors have no JSON form and become null.
pub fn value(variant: &Variant<'_>) -> Value {
    match variant {
        Variant::U8(v) => (*v).into(),
        Variant::Bool(v) => (*v).into(),
        Variant::I16(v) => (*v).into(),
        Variant::U16(v) => (*v).into(),
        Variant::I32(v) => (*v).into(),
        Variant::U32(v) => (*v).into(),
        Variant::I64(v) => (*v).into(),
        Variant::U64(v) => (*v).into(),
        Variant::F64(v) => (*v).into(),
        Variant::Str(v) => v.as_str().into(),
        Variant::Signature(v) => v.to_string().into(),
        Variant::ObjectPath(v) => v.as_str().into(),
        Variant::Variant(v) => value(v),
        Variant::Array(v) => Value::Array(v.inner().iter().map(value).collect()),
        Variant::Dict(v) => {
            let entry = |(k, v): (&Variant<'_>, &Variant<'_>)| match value(k) {
                Value::String(key) => (key, value(v)),
                key => (key.to_string(), value(v)),
            };
            Value::Object(v.iter().map(entry).collect())
        }
        Variant::Structure(v) => Value::Array(v.fields().iter().map(value).collect()),
        Variant::Fd(_) => Value::Null,
    }
}

/// An object's properties, sorted by name, the names in snake_case.
pub fn properties(all: &HashMap<String, OwnedVariant>) -> Map<String, Value> {
    let mut keys: Vec<&String> = all.keys().collect();
    keys.sort();
    keys.into_iter().map(|key| (snake(key), value(&all[key]))).collect()
}

/// `ErrorName` to `error_name`.
fn snake(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for (i, c) in name.chars().enumerate() {
        if c.is_ascii_uppercase() && i > 0 {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// Prints a value, indented, on standard output.
pub fn print(value: &Value) {
    // Serialising a `Value` cannot fail: its keys are strings.
    println!("{}", serde_json::to_string_pretty(value).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_shape() {
        let variant = Variant::from(vec![("boot", 5u64)]);
        assert_eq!(value(&variant).to_string(), r#"[["boot",5]]"#);
        let dict = Variant::from(HashMap::from([("app", "web")]));
        assert_eq!(value(&dict).to_string(), r#"{"app":"web"}"#);
        assert_eq!(snake("MemoryKib"), "memory_kib");
    }
}
