//! Types as `.proto` text, for people: what a server or a descriptor set says of itself.
//!
//! Comments are printed where the descriptors hold them: sources that were compiled here do, many
//! servers strip them. Custom options are left out, and names are shortened where a reader in the
//! same package would shorten them, so the text is for reading and not a copy of the source.

use prost_reflect::{
    Cardinality, EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor,
    MethodDescriptor, OneofDescriptor, ServiceDescriptor, Syntax,
};
use std::fmt::Write as _;

const INDENT: &str = "  ";

/// A service with its methods.
pub fn service(service: &ServiceDescriptor) -> String {
    let mut printer = Printer::of(&service.parent_file());
    printer.comment(service.path());
    printer.open(&format!("service {}", service.name()));
    for method in service.methods() {
        printer.comment(method.path());
        printer.line(&signature(&method, printer.package()));
    }
    printer.close();
    printer.out
}

/// A method alone, and the types it takes and gives.
pub fn method(method: &MethodDescriptor) -> String {
    let mut printer = Printer::of(&method.parent_file());
    printer.comment(method.path());
    printer.line(&signature(method, printer.package()));
    let (input, output) = (method.input(), method.output());
    let mut out = format!("{}\n{}", printer.out, message(&input));
    if output != input {
        let _ = write!(out, "\n{}", message(&output));
    }
    out
}

/// A message with all that is declared inside.
pub fn message(message: &MessageDescriptor) -> String {
    let mut printer = Printer::of(&message.parent_file());
    printer.message(message);
    printer.out
}

/// A field alone, and the type it has if that is a message or an enum.
pub fn field(field: &FieldDescriptor) -> String {
    let mut out = String::new();
    for line in field_comment(field) {
        let _ = writeln!(out, "// {line}");
    }
    let package = field.parent_message().package_name().to_owned();
    let of = field_type(field, &package);
    let _ = writeln!(out, "{of} {} = {};", field.name(), field.number());
    match field.kind() {
        Kind::Message(inner) if !field.is_map() => {
            let _ = write!(out, "\n{}", message(&inner));
        }
        Kind::Enum(values) => {
            let _ = write!(out, "\n{}", enumeration(&values));
        }
        _ => {}
    }
    out
}

/// An enum with its values.
pub fn enumeration(enumeration: &EnumDescriptor) -> String {
    let mut printer = Printer::of(&enumeration.parent_file());
    printer.enumeration(enumeration);
    printer.out
}

/// The type of a field as its declaration writes it, for a reader in `package`.
pub fn field_type(field: &FieldDescriptor, package: &str) -> String {
    if let (true, Kind::Message(entry)) = (field.is_map(), field.kind()) {
        let key = kind_name(&entry.map_entry_key_field().kind(), package);
        let value = kind_name(&entry.map_entry_value_field().kind(), package);
        return format!("map<{key}, {value}>");
    }
    let name = kind_name(&field.kind(), package);
    match label(field) {
        "" => name,
        label => format!("{label} {name}"),
    }
}

/// What the author says of a field, one line each; empty where the descriptors do not hold it.
pub fn field_comment(field: &FieldDescriptor) -> Vec<String> {
    Printer::of(&field.parent_file()).words(field.path())
}

struct Printer {
    out: String,
    depth: usize,
    file: FileDescriptor,
    package: String,
}

impl Printer {
    fn of(file: &FileDescriptor) -> Self {
        let package = file.package_name().to_owned();
        Printer { out: String::new(), depth: 0, file: file.clone(), package }
    }

    fn package(&self) -> &str {
        &self.package
    }

    fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{}{text}", INDENT.repeat(self.depth));
    }

    fn open(&mut self, head: &str) {
        self.line(&format!("{head} {{"));
        self.depth += 1;
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.line("}");
    }

    fn comment(&mut self, path: &[i32]) {
        for line in self.words(path) {
            self.line(format!("// {line}").trim_end());
        }
    }

    /// The leading comment of what stands at `path`, else the one behind it.
    fn words(&self, path: &[i32]) -> Vec<String> {
        let info = self.file.file_descriptor_proto().source_code_info.as_ref();
        let mut places = info.iter().flat_map(|info| &info.location);
        let Some(place) = places.find(|place| place.path == path) else { return Vec::new() };
        let leading = place.leading_comments.as_deref().unwrap_or_default();
        let text = match leading.trim().is_empty() {
            true => place.trailing_comments.as_deref().unwrap_or_default(),
            false => leading,
        };
        text.trim_end().lines().map(|line| line.trim().to_owned()).collect()
    }

    fn message(&mut self, message: &MessageDescriptor) {
        self.comment(message.path());
        self.open(&format!("message {}", message.name()));
        for inner in message.child_enums() {
            self.enumeration(&inner);
        }
        for inner in message.child_messages().filter(|inner| !inner.is_map_entry()) {
            self.message(&inner);
        }
        self.fields(message);
        self.reserved(message);
        self.close();
    }

    /// The fields in the order of their declaration; those of a `oneof` where its first one stands.
    fn fields(&mut self, message: &MessageDescriptor) {
        let mut printed: Vec<OneofDescriptor> = Vec::new();
        for field in message.fields() {
            match field.containing_oneof().filter(|oneof| !oneof.is_synthetic()) {
                None => self.field(&field),
                Some(oneof) if printed.contains(&oneof) => {}
                Some(oneof) => {
                    self.comment(oneof.path());
                    self.open(&format!("oneof {}", oneof.name()));
                    oneof.fields().for_each(|field| self.field(&field));
                    self.close();
                    printed.push(oneof);
                }
            }
        }
    }

    fn field(&mut self, field: &FieldDescriptor) {
        self.comment(field.path());
        let kind = field_type(field, &self.package);
        let options = options(field);
        self.line(&format!("{kind} {} = {}{options};", field.name(), field.number()));
    }

    fn reserved(&mut self, message: &MessageDescriptor) {
        let ranges = |ranges: Vec<std::ops::Range<u32>>| {
            let text = |range: &std::ops::Range<u32>| match range.end - range.start {
                1 => range.start.to_string(),
                _ if range.end > MAX_NUMBER => format!("{} to max", range.start),
                _ => format!("{} to {}", range.start, range.end - 1),
            };
            ranges.iter().map(text).collect::<Vec<_>>().join(", ")
        };
        let reserved: Vec<_> = message.reserved_ranges().collect();
        if !reserved.is_empty() {
            self.line(&format!("reserved {};", ranges(reserved)));
        }
        let names: Vec<String> = message.reserved_names().map(|name| format!("{name:?}")).collect();
        if !names.is_empty() {
            self.line(&format!("reserved {};", names.join(", ")));
        }
        let extensions: Vec<_> = message.extension_ranges().collect();
        if !extensions.is_empty() {
            self.line(&format!("extensions {};", ranges(extensions)));
        }
    }

    fn enumeration(&mut self, enumeration: &EnumDescriptor) {
        self.comment(enumeration.path());
        self.open(&format!("enum {}", enumeration.name()));
        for value in enumeration.values() {
            self.comment(value.path());
            self.line(&format!("{} = {};", value.name(), value.number()));
        }
        self.close();
    }
}

/// The largest field number.
const MAX_NUMBER: u32 = (1 << 29) - 1;

fn signature(method: &MethodDescriptor, package: &str) -> String {
    let side = |is_stream: bool, message: MessageDescriptor| {
        let stream = if is_stream { "stream " } else { "" };
        format!("{stream}{}", shortened(message.full_name(), package))
    };
    let input = side(method.is_client_streaming(), method.input());
    let output = side(method.is_server_streaming(), method.output());
    format!("rpc {}({input}) returns ({output});", method.name())
}

/// What stands before a field's type.
fn label(field: &FieldDescriptor) -> &'static str {
    let is_proto2 = field.parent_file().syntax() == Syntax::Proto2;
    match field.cardinality() {
        Cardinality::Repeated => "repeated",
        Cardinality::Required => "required",
        Cardinality::Optional if field.field_descriptor_proto().proto3_optional() => "optional",
        Cardinality::Optional if is_proto2 && field.containing_oneof().is_none() => "optional",
        Cardinality::Optional => "",
    }
}

fn options(field: &FieldDescriptor) -> String {
    let proto = field.field_descriptor_proto();
    let default = proto.default_value.as_ref().map(|value| match field.kind() {
        Kind::String | Kind::Bytes => format!("default = {value:?}"),
        _ => format!("default = {value}"),
    });
    let is_deprecated = proto.options.as_ref().is_some_and(|options| options.deprecated());
    let deprecated = is_deprecated.then(|| "deprecated = true".to_owned());
    let all: Vec<String> = default.into_iter().chain(deprecated).collect();
    if all.is_empty() { String::new() } else { format!(" [{}]", all.join(", ")) }
}

fn kind_name(kind: &Kind, package: &str) -> String {
    match kind {
        Kind::Double => "double".to_owned(),
        Kind::Float => "float".to_owned(),
        Kind::Int32 => "int32".to_owned(),
        Kind::Int64 => "int64".to_owned(),
        Kind::Uint32 => "uint32".to_owned(),
        Kind::Uint64 => "uint64".to_owned(),
        Kind::Sint32 => "sint32".to_owned(),
        Kind::Sint64 => "sint64".to_owned(),
        Kind::Fixed32 => "fixed32".to_owned(),
        Kind::Fixed64 => "fixed64".to_owned(),
        Kind::Sfixed32 => "sfixed32".to_owned(),
        Kind::Sfixed64 => "sfixed64".to_owned(),
        Kind::Bool => "bool".to_owned(),
        Kind::String => "string".to_owned(),
        Kind::Bytes => "bytes".to_owned(),
        Kind::Message(message) => shortened(message.full_name(), package).to_owned(),
        Kind::Enum(enumeration) => shortened(enumeration.full_name(), package).to_owned(),
    }
}

/// A full name without the reader's own package.
fn shortened<'n>(name: &'n str, package: &str) -> &'n str {
    let rest = name.strip_prefix(package).filter(|_| !package.is_empty());
    rest.and_then(|rest| rest.strip_prefix('.')).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use crate::descriptors::{DescriptorInput, Descriptors};
    use std::fs;

    const SOURCE: &str = r#"syntax = "proto3";
package shop.v1;
import "google/protobuf/timestamp.proto";
// Orders.
service Orders {
  // What changes from now on.
  rpc Watch(WatchRequest) returns (stream Change);
}
message WatchRequest {
  enum Depth {
    DEPTH_UNSPECIFIED = 0;
    // All of it.
    DEPTH_FULL = 1;
  }
  reserved 4, 7 to 9;
  reserved "old";
  // Where to begin.
  oneof begin {
    uint64 revision = 1;
    google.protobuf.Timestamp at = 2;
  }
  optional string filter = 3 [deprecated = true];
  map<string, Depth> depths = 5;
  repeated int32 kinds = 6; // Those only.
}
message Change {
  message Line {
    bytes raw = 1;
  }
  repeated Line lines = 1;
}
"#;

    const SERVICE: &str = "\
// Orders.
service Orders {
  // What changes from now on.
  rpc Watch(WatchRequest) returns (stream Change);
}
";

    const METHOD: &str = "\
// What changes from now on.
rpc Watch(WatchRequest) returns (stream Change);

message WatchRequest {
  enum Depth {
    DEPTH_UNSPECIFIED = 0;
    // All of it.
    DEPTH_FULL = 1;
  }
  // Where to begin.
  oneof begin {
    uint64 revision = 1;
    google.protobuf.Timestamp at = 2;
  }
  optional string filter = 3 [deprecated = true];
  map<string, WatchRequest.Depth> depths = 5;
  // Those only.
  repeated int32 kinds = 6;
  reserved 4, 7 to 9;
  reserved \"old\";
}

message Change {
  message Line {
    bytes raw = 1;
  }
  repeated Change.Line lines = 1;
}
";

    fn pool() -> crate::DescriptorPool {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("shop.proto");
        fs::write(&file, SOURCE).expect("it is writable");
        let input = DescriptorInput::Protos { files: vec![file], includes: vec![] };
        Descriptors::load(&input).expect("it compiles").pool().clone()
    }

    #[test]
    fn a_service_and_a_method_read_like_their_source() {
        let pool = pool();
        let service = pool.get_service_by_name("shop.v1.Orders").expect("it is there");
        assert_eq!(super::service(&service), SERVICE);
        let method = service.methods().next().expect("it has one");
        assert_eq!(super::method(&method), METHOD);
    }

    /// What is printed of a message compiles to the same fields again.
    #[test]
    fn what_is_printed_means_the_same() {
        let pool = pool();
        let names = ["shop.v1.WatchRequest", "shop.v1.Change"];
        let printed = names.map(|name| {
            let message = pool.get_message_by_name(name).expect("it is there");
            super::message(&message)
        });
        let source = format!(
            "syntax = \"proto3\"; package shop.v1; import \"google/protobuf/timestamp.proto\";\n{}",
            printed.concat()
        );
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("again.proto");
        fs::write(&file, source).expect("it is writable");
        let input = DescriptorInput::Protos { files: vec![file], includes: vec![] };
        let again = Descriptors::load(&input).unwrap_or_else(|error| panic!("{error}"));
        for name in names {
            let fields = |pool: &crate::DescriptorPool| {
                let message = pool.get_message_by_name(name).expect("it is there");
                let told = message.fields().map(|it| {
                    let proto = it.field_descriptor_proto().clone();
                    (it.name().to_owned(), it.number(), proto.r#type, proto.label, proto.type_name)
                });
                told.collect::<Vec<_>>()
            };
            assert_eq!(fields(&pool), fields(again.pool()), "{name}");
        }
    }
}
