//! What Kubernetes knows of a Pod: the names and types of its fields.
//!
//! They are asked of `k8s_openapi`'s types themselves, by deserialising them from something that has every field they name.

use std::sync::LazyLock;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};

/// The type of a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Something with fields.
    Object,
    /// A mapping of names that are not fixed.
    Map,
    /// Text.
    #[default]
    String,
    /// A whole number.
    Integer,
    /// A whole number of 32 bits.
    Integer32,
    /// `true` or `false`.
    Boolean,
    /// A number with a suffix.
    Quantity,
    /// A whole number, or a text.
    IntegerOrString,
    /// A time.
    Time,
}

/// A field.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Its type, or that of its elements.
    pub kind: Kind,
    /// It is a list.
    pub list: bool,
    /// Its fields, as Kubernetes orders them; of a map one without a name.
    pub fields: Vec<(&'static str, Node)>,
}

impl Node {
    /// The field of that name; of a map any.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Self> {
        self.fields.iter().find(|(n, _)| *n == name || self.kind == Kind::Map).map(|(_, node)| node)
    }

    /// Its type in words.
    #[must_use]
    pub fn words(&self) -> String {
        let (one, many) = match self.kind {
            Kind::Object => ("object", "objects"),
            Kind::String => ("string", "strings"),
            Kind::Integer | Kind::Integer32 => ("integer", "integers"),
            Kind::Boolean => ("boolean", "booleans"),
            Kind::Quantity => ("quantity", "quantities"),
            Kind::IntegerOrString => ("integer or string", "integers or strings"),
            Kind::Time => ("time", "times"),
            Kind::Map => {
                let of = self.fields.first().map(|(_, n)| n.kind);
                return if of == Some(Kind::Quantity) { "map of quantities" } else { "map of strings" }.into();
            }
        };
        if self.list { format!("list of {many}") } else { one.into() }
    }
}

/// A Pod.
pub fn pod() -> &'static Node {
    static POD: LazyLock<Node> = LazyLock::new(|| {
        let text = || Node::default();
        let opaque = || Node { kind: Kind::Object, ..Node::default() };
        let fields = vec![
            ("apiVersion", text()),
            ("kind", text()),
            ("metadata", of::<meta::ObjectMeta>()),
            ("spec", of::<core::PodSpec>()),
            ("status", opaque()),
        ];
        Node { kind: Kind::Object, list: false, fields }
    });
    &POD
}

/// A container.
pub(super) fn container() -> Option<&'static Node> {
    pod().field("spec")?.field("containers")
}

fn of<T: de::DeserializeOwned>() -> Node {
    let mut node = Node::default();
    // What a field is comes out even where a value was not to its liking.
    let _ = T::deserialize(Probe(&mut node));
    node
}

/// Has every field that it is asked for, and notes what was asked.
struct Probe<'a>(&'a mut Node);

type Error = de::value::Error;

impl Probe<'_> {
    fn is(self, kind: Kind) {
        self.0.kind = kind;
    }
}

macro_rules! simple {
    ($($method:ident => $kind:ident, $visit:ident($($value:expr)?);)+) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.is(Kind::$kind);
            visitor.$visit($($value)?)
        })+
    };
}

impl<'de> de::Deserializer<'de> for Probe<'_> {
    type Error = Error;

    simple! {
        deserialize_any => IntegerOrString, visit_i32(0);
        deserialize_bool => Boolean, visit_bool(false);
        deserialize_i8 => Integer32, visit_i8(0);
        deserialize_i16 => Integer32, visit_i16(0);
        deserialize_i32 => Integer32, visit_i32(0);
        deserialize_i64 => Integer, visit_i64(0);
        deserialize_u8 => Integer32, visit_u8(0);
        deserialize_u16 => Integer32, visit_u16(0);
        deserialize_u32 => Integer, visit_u32(0);
        deserialize_u64 => Integer, visit_u64(0);
        deserialize_f32 => Integer, visit_f32(0.0);
        deserialize_f64 => Integer, visit_f64(0.0);
        deserialize_char => String, visit_char('x');
        deserialize_str => String, visit_str("");
        deserialize_string => String, visit_str("");
        deserialize_bytes => String, visit_bytes(&[]);
        deserialize_byte_buf => String, visit_bytes(&[]);
        deserialize_identifier => String, visit_str("");
        deserialize_unit => Object, visit_unit();
        deserialize_ignored_any => Object, visit_unit();
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        match name {
            "Quantity" => {
                self.is(Kind::Quantity);
                visitor.visit_newtype_struct("1".into_deserializer())
            }
            "Time" | "MicroTime" => {
                self.is(Kind::Time);
                visitor.visit_newtype_struct("2026-01-01T00:00:00.000000Z".into_deserializer())
            }
            // Anything may stand in it.
            _ => {
                self.is(Kind::Object);
                visitor.visit_newtype_struct(().into_deserializer())
            }
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.0.list = true;
        visitor.visit_seq(One(Some(self.0)))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.0.kind = Kind::Map;
        visitor.visit_map(Fields { node: self.0, names: [""].iter(), now: "" })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.kind = Kind::Object;
        visitor.visit_map(Fields { node: self.0, names: fields.iter(), now: "" })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.is(Kind::String);
        visitor.visit_enum(variants.first().copied().unwrap_or_default().into_deserializer())
    }
}

/// A list of one element.
struct One<'a>(Option<&'a mut Node>);

impl<'de> de::SeqAccess<'de> for One<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0.take().map(|node| seed.deserialize(Probe(node))).transpose()
    }
}

/// Every field there is.
struct Fields<'a> {
    node: &'a mut Node,
    names: std::slice::Iter<'static, &'static str>,
    now: &'static str,
}

impl<'de> de::MapAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(name) = self.names.next() else { return Ok(None) };
        self.now = name;
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let mut node = Node::default();
        let value = seed.deserialize(Probe(&mut node));
        self.node.fields.push((self.now, node));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_the_types_of_kubernetes() {
        let at = |path: &str| path.split('.').try_fold(pod(), |node, name| node.field(name)).unwrap().words();
        for (path, words) in [
            ("metadata.name", "string"),
            ("metadata.labels", "map of strings"),
            ("metadata.creationTimestamp", "time"),
            ("spec.containers", "list of objects"),
            ("spec.containers.command", "list of strings"),
            ("spec.containers.resources.limits", "map of quantities"),
            ("spec.containers.livenessProbe.httpGet.port", "integer or string"),
            ("spec.volumes.emptyDir.sizeLimit", "quantity"),
            ("spec.terminationGracePeriodSeconds", "integer"),
            ("spec.hostNetwork", "boolean"),
            ("spec.topologySpreadConstraints.whenUnsatisfiable", "string"),
            ("spec.volumes.vsphereVolume.volumePath", "string"),
        ] {
            assert_eq!(at(path), words, "{path}");
        }
        assert!(pod().field("spec").unwrap().field("nosuch").is_none());
        // The last of each: nothing broke off on the way.
        let last = |node: &Node| node.fields.last().unwrap().0;
        assert_eq!(last(pod().field("metadata").unwrap()), "uid");
        let spec = pod().field("spec").unwrap();
        assert_eq!(last(spec), "volumes");
        assert_eq!(last(spec.field("volumes").unwrap()), "vsphereVolume");
        assert_eq!(last(spec.field("containers").unwrap()), "workingDir");
    }
}
